"""What comes out does not depend on how a job was run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core import jobs
from core.model import State
from core.settings import Settings
from core.testing import make_clip

from .conftest import Start, until


@pytest.fixture
def lecture(service: Settings) -> Path:
    path = service.media_roots[0] / "lecture.mp4"
    make_clip(path, seconds=11, width=640, height=360)
    return path


def artifacts(manifest: Path) -> list[dict[str, Any]]:
    """The artifacts of a manifest; info_video.json tells when it was made, so of it only the name is compared."""
    found = json.loads(manifest.read_text())["steps"]["encode"]["artifacts"]
    return [{"path": one["path"]} if one["kind"] == "info" else one for one in found]


def test_by_queue_and_in_process_the_manifests_are_equal(service: Settings, lecture: Path, start: Start) -> None:
    start("encoding")
    start("callbacks")
    by_queue = jobs.submit(lecture, output=lecture.with_name("q"), settings=service)
    command = [
        sys.executable,
        "-m",
        "core.cli",
        "run",
        str(lecture),
        "--steps",
        "encode",
        "--out",
        str(lecture.with_name("r")),
        "--json",
    ]
    in_process = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)["job"]["id"]

    root = service.jobs_root / "jobs"
    until((root / by_queue / "manifest.json").exists, 60, "the queued job ends")

    assert jobs.status(by_queue, settings=service).state is State.SUCCEEDED
    expected = artifacts(root / in_process / "manifest.json")
    assert artifacts(root / by_queue / "manifest.json") == expected
    assert len(expected) > 8
    names = sorted(path.name for path in lecture.with_name("r").iterdir())
    assert sorted(path.name for path in lecture.with_name("q").iterdir()) == names
