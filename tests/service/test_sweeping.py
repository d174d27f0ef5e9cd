"""Workers of `callbacks` free the disk of what jobs no longer need."""

from __future__ import annotations

import pytest

from core import jobs
from core.settings import Settings
from core.storage.job_folder import JobFolder

from .conftest import Start, until


def test_a_worker_sweeps_now_and_then_and_keeps_what_is_needed(
    toy_service: Settings, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMPHIPOD_SWEEP_SECONDS", "1")
    monkeypatch.setenv("AMPHIPOD_RETAIN_FAILED_DAYS", "0")
    start("encoding", "callbacks")
    broken = jobs.submit("a.mp4", options={"do": {"refuse": "no film"}}, settings=toy_service)
    results = jobs.submit("a.mp4", options={"do": {"write": "hello"}}, settings=toy_service)

    until(lambda: jobs.status(broken, settings=toy_service).swept, 30)
    until(lambda: jobs.status(results, settings=toy_service).state.is_final, 30)

    words = jobs.status(broken, settings=toy_service).swept or ""
    assert words.startswith("its files were removed on ")
    assert words.endswith("(failed)")
    assert jobs.status(results, settings=toy_service).swept is None
    assert (JobFolder(toy_service.jobs_root, results).out / "encode.1" / "360p.mp4").read_text() == "hello"
