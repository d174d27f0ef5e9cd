"""Schemathesis: no call that fits the description, and none that doesn't, gets an answer that it does not name."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from core.settings import Settings
from core.web.tokens import SCOPES, Scope

from .conftest import OpenSite, Site

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.fixture
def unhurried(open_site: OpenSite, here: Settings) -> Site:
    return open_site(here.model_copy(update={"web_rate": 10_000.0}))


@pytest.mark.parametrize("scope", SCOPES)
def test_the_api_keeps_its_word(unhurried: Site, scope: Scope, tmp_path: Path) -> None:
    tool = shutil.which("st", path=str(Path(sys.executable).parent))
    if tool is None:
        pytest.skip("schemathesis is not installed")
    job = unhurried.submit(token=unhurried.token("submit"))
    config = tmp_path / "schemathesis.toml"
    config.write_text(f'[parameters]\n"path.job" = "{job}"\n"path.name" = "360p.mp4"\n')
    command = [
        tool,
        "--config-file",
        str(config),
        "run",
        f"{unhurried.url}/openapi.json",
        "-H",
        f"Authorization: Bearer {unhurried.token(scope)}",
    ]
    # A stream of events has no end, and a film's bytes are none that it can make up.
    left_out = ["--exclude-path-regex", "events|doctor", "--exclude-method", "PATCH"]
    limits = ["--max-examples", "4", "--seed", "1", "--phases", "fuzzing", *left_out]
    done = subprocess.run([*command, "--checks", CHECKS, *limits], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-6000:]
