"""Which stores there are and what they get, and what Ralph's models are asked."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pydantic import SecretStr

from core.errors import BadCall, BadSettings
from core.pipeline import planning
from core.plugin_host.manager import Manager
from core.settings import Settings, load
from core.testing import fake_job
from plugins.xapi import stores
from plugins.xapi.settings import RecordStore, XapiSettings
from plugins.xapi.validation import complaint

POD = [
    json.loads(line)
    for line in (Path(__file__).parents[2] / "service/pod_statements.jsonl").read_text(encoding="utf-8").splitlines()
]
INITIALIZED = next(one for one in POD if one["verb"]["id"].endswith("initialized"))
VOLUME = "https://w3id.org/xapi/video/extensions/volume"


def test_a_mistyped_option_is_refused_though_the_job_emits_too(tmp_path: Path) -> None:
    settings = Settings(jobs_root=tmp_path, plugins_only=("encode", "xapi"))
    job = fake_job(tmp_path / "lecture.mp4", steps=("encode", "emit"), options={"profil": "lecture"})
    with pytest.raises(BadCall, match="no step of this job has an option 'profil'"):
        planning.check_options(Manager(settings), job)


def own() -> XapiSettings:
    return load().of_plugin("xapi", XapiSettings)


class TestStores:
    def test_esup_pod_s_names_describe_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XAPI_LRS_URL", "https://lrs.univ-demo.fr/xAPI/statements")
        monkeypatch.setenv("XAPI_LRS_LOGIN", "pod")
        monkeypatch.setenv("XAPI_LRS_PWD", "s3cret")
        monkeypatch.setenv("XAPI_ANONYMIZE_ACTOR", "True")
        monkeypatch.setenv("AMPHIPOD_XAPI_ANONYMIZE_KEY", "k")
        (store,) = stores.of(own()).values()
        assert (store.name, store.url) == ("lrs", "https://lrs.univ-demo.fr/xAPI/statements")
        assert (store.login, store.password) == ("pod", SecretStr("s3cret"))
        assert store.anonymize

    def test_our_names_win_over_esup_pod_s(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XAPI_LRS_URL", "https://old.example")
        monkeypatch.setenv("AMPHIPOD_XAPI_LRS_URL", "https://new.example")
        assert own().lrs_url == "https://new.example"

    def test_a_password_in_the_address_is_taken_out_of_it(self) -> None:
        (store,) = stores.of(XapiSettings(lrs_url="https://me:s%40fe@lrs.example:8443/xAPI/statements")).values()
        assert (store.url, store.login) == ("https://lrs.example:8443/xAPI/statements", "me")
        assert store.password
        assert store.password.get_secret_value() == "s@fe"

    def test_two_stores_of_one_name_are_refused(self) -> None:
        two = (RecordStore(name="a", url="http://x"), RecordStore(name="a", url="http://y"))
        with pytest.raises(BadSettings, match="two record stores have one name"):
            stores.of(XapiSettings(stores=two))

    def test_anonymising_without_a_key_is_refused(self) -> None:
        with pytest.raises(BadSettings, match="AMPHIPOD_XAPI_ANONYMIZE_KEY is not set"):
            stores.of(XapiSettings(lrs_url="http://x", anonymize_actor=True))

    def test_mailboxes_need_a_host_that_a_store_takes(self) -> None:
        settings = XapiSettings(
            lrs_url="http://x",
            anonymize_actor=True,
            anonymize_key=SecretStr("k"),
            pseudonym_form="mailbox",
        )
        with pytest.raises(BadSettings, match="AMPHIPOD_XAPI_PSEUDONYM_HOME"):
            stores.of(settings)

    @pytest.mark.parametrize(
        ("filters", "wanted"),
        [
            ({}, True),
            ({"verbs": ("initialized",)}, True),
            ({"verbs": ("played",)}, False),
            ({"activities": ("http://127.0.0.1:9080/video/",)}, True),
            ({"activities": ("https://elsewhere.example/",)}, False),
        ],
    )
    def test_a_filter_lets_through_what_it_names(self, filters: dict[str, Any], wanted: bool) -> None:
        assert stores.wants(RecordStore(name="a", url="http://x", **filters), INITIALIZED) is wanted


class TestValidation:
    @pytest.mark.parametrize("statement", POD, ids=lambda one: one["verb"]["id"].rpartition("/")[2])
    def test_what_pod_sends_is_right(self, statement: dict[str, Any]) -> None:
        assert complaint(statement) is None

    def test_a_volume_between_0_and_1_is_right_though_the_model_wants_an_integer(self) -> None:
        extensions = INITIALIZED["context"]["extensions"] | {VOLUME: 0.5}
        assert complaint({**INITIALIZED, "context": {**INITIALIZED["context"], "extensions": extensions}}) is None

    def test_a_volume_that_is_no_number_is_wrong(self) -> None:
        extensions = INITIALIZED["context"]["extensions"] | {VOLUME: "loud"}
        words = complaint({**INITIALIZED, "context": {**INITIALIZED["context"], "extensions": extensions}})
        assert words
        assert words.startswith(f"context.extensions.{VOLUME}: must be a whole number")

    @pytest.mark.parametrize("statement", [{}, {"verb": []}, {"verb": {"id": 1}}, {"object": {"definition": 3}}])
    def test_nonsense_is_a_complaint_and_no_crash(self, statement: dict[str, Any]) -> None:
        assert complaint(statement)


def test_the_extra_brings_no_video_and_no_model() -> None:
    """An xAPI host installs neither PyAV nor torch, whatever depends on what."""
    brought: set[tuple[str, str]] = set()

    def bring(name: str, extra: str) -> None:
        if (name, extra) in brought:
            return
        brought.add((name, extra))
        for text in distribution(name).requires or ():
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                for one in needed.extras or {""}:
                    bring(canonicalize_name(needed.name), one)

    bring("amphipod", "xapi")
    names = {name for name, _ in brought}
    assert {"ralph-malph", "requests", "pydantic", "dramatiq"} <= names
    assert not names & {"av", "pillow", "torch", "numpy", "openai-whisper"}


def test_the_command_line_loads_neither_ralph_nor_dramatiq() -> None:
    code = """
import sys, core.cli
for command in ("emit", "statements", "run"):
    core.cli.build([command])
print(*{"ralph", "dramatiq", "requests", "fastapi"}.intersection(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("\n", "")


def test_the_table_of_conformance_names_tests_that_are_there() -> None:
    root = Path(__file__).parents[3]
    named = set(re.findall(r"`(_[a-z]+|breaches|test_[a-z0-9_]+)`", (root / "docs/xapi-conformance.md").read_text()))
    tests = [path for folder in ("plugins/xapi", "service") for path in (root / "tests" / folder).glob("*.py")]
    code = "".join(path.read_text() for path in tests)
    assert not [name for name in named if f"def {name}(" not in code]
