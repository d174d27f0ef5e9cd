"""What doctor says on a host that serves an Esup-Pod: each mistake with its own remedy."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from core.pod.celery_messages import take
from core.pod.parking import Message
from core.settings import Settings
from core.storage.job_folder import JobFolder

from .fake_pod import FakePod

pytestmark = pytest.mark.usefixtures("pod")


def findings() -> dict[str, tuple[bool, str]]:
    """Return what doctor finds, by the first words of the subject."""
    done = subprocess.run([sys.executable, "-m", "core.cli", "doctor", "--json"], capture_output=True, text=True)
    found = json.loads(done.stdout)["findings"]
    assert done.returncode == (0 if all(one["ok"] for one in found) else 1)
    return {one["subject"]: (one["ok"], one["words"]) for one in found}


def of(subject: str) -> tuple[bool, str]:
    return next((found for name, found in findings().items() if name.startswith(subject)), (True, "not looked at"))


class TestTheAddressOfTheApi:
    def test_is_right(self) -> None:
        assert of("Esup-Pod http") == (True, "answers")

    def test_lacks_rest(self, pod: FakePod, monkeypatch: pytest.MonkeyPatch) -> None:
        """Pod's home page answers 200, whoever asks."""
        monkeypatch.setenv("POD_API_URL", pod.url.removesuffix("rest/"))
        ok, words = of("Esup-Pod http")

        assert not ok
        assert "what answers is not its API: POD_API_URL must be that of its API, https://pod.univ.fr/rest/" in words

    def test_lacks_rest_and_nobody_answers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("POD_API_URL", "http://127.0.0.1:9/")
        ok, words = of("Esup-Pod http")

        assert not ok
        assert words.endswith("https://pod.univ.fr/rest/")

    def test_belongs_to_a_token_that_may_not(self, pod: FakePod) -> None:
        pod.staff = False
        assert "must be staff" in of("Esup-Pod http")[1]
        pod.token = "another"
        assert "does not know POD_API_TOKEN" in of("Esup-Pod http")[1]

    def test_is_missing_though_there_are_jobs(self, pod_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("POD_API_URL", "")
        assert of("Esup-Pod")[0]
        JobFolder(pod_settings.jobs_root, "pod-1").path.mkdir(parents=True)

        assert of("Esup-Pod") == (
            False,
            "Esup-Pod can't be told of its jobs: set POD_API_URL and POD_API_TOKEN on hosts of `callbacks`",
        )


class TestTheTokenOfRunnerManagers:
    @pytest.mark.long
    def test_is_missing_though_there_are_tasks(self, pod_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        assert of("runner manager") == (True, "not looked at")
        JobFolder(pod_settings.jobs_root, f"run-{'0' * 32}").path.mkdir(parents=True)
        ok, words = of("runner manager")
        monkeypatch.setenv("AMPHIPOD_RUNNER_TOKEN", "secret")

        assert not ok
        assert "set AMPHIPOD_RUNNER_TOKEN on hosts of `callbacks`" in words
        assert of("runner manager") == (True, "has its token")

    def test_is_missing_though_its_hosts_are_set(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AMPHIPOD_RUNNER_HOSTS", "pod.univ.fr")
        assert not of("runner manager")[0]


def test_parked_messages_are_counted(pod_settings: Settings) -> None:
    take(Message("encoding", {"id": "a", "task": "pod.dance"}, ""), pod_settings)

    ok, words = of("messages of Esup-Pod")
    assert not ok
    assert words.startswith("1 could not be acted on: see `amphipod pod parked`")


def test_anonymising_without_its_key_must_be_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XAPI_LRS_URL", "https://lrs.univ.fr/xAPI/statements")
    monkeypatch.setenv("XAPI_ANONYMIZE_ACTOR", "True")
    ok, words = of("plugin xapi")

    assert not ok
    assert "AMPHIPOD_XAPI_ANONYMIZE_KEY is not set" in words
