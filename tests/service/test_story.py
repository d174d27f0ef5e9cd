"""What a service's logs and a job's story tell of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core import jobs
from core.jobs import Status
from core.model import Callback, State
from core.settings import Settings
from core.storage.job_folder import JobFolder
from core.storage.story import Reader

from .conftest import Start, Submit, child_of, until

Ended = Callable[..., Status]


def lines_of(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]


@pytest.fixture
def story_of(toy_service: Settings) -> Callable[[str], list[dict[str, Any]]]:
    def read(job: str) -> list[dict[str, Any]]:
        return Reader(JobFolder(toy_service.jobs_root, job)).new()

    return read


Story = Callable[[str], list[dict[str, Any]]]


class TestALogOfAGoodJob:
    def test_names_the_correlation_id_on_every_line_from_submit_to_callback(
        self, start: Start, ended: Ended, toy_service: Settings, story_of: Story
    ) -> None:
        worker = start("encoding", "callbacks", threads=2, log_format="json", webhook_secret="hush")
        job = jobs.submit(
            "a.mp4",
            options={"do": {"log": "a word of the plugin", "write": "x"}},
            correlation_id="portal-42",
            callbacks=[Callback(kind="webhook", url="http://127.0.0.1:9/?key=hidden")],
            settings=toy_service,
        )
        ended(job)

        def told() -> dict[str, Any] | None:
            return next((line for line in lines_of(worker.log) if line["event"] == "portal not told yet"), None)

        untold = until(told, what="the portal is tried")
        about_it = [line for line in lines_of(worker.log) if line.get("job") == job]
        assert [line["event"] for line in about_it if line["step"] == "encode"] == [
            "taken",
            "a word of the plugin",
            "done",
        ]
        assert {line["correlation_id"] for line in about_it} == {"portal-42"}
        assert untold["callback"] == "http://127.0.0.1:9/"
        assert "refused" in untold["answer"]
        assert about_it[0]["waited"] < 20
        assert [line["event"] for line in story_of(job)][:2] == ["submitted", "taken"]

    def test_has_no_error_and_no_warning(self, start: Start, submit: Submit, ended: Ended) -> None:
        worker = start("encoding", "callbacks", threads=2, log_format="json")
        ended(submit(write="x"))

        assert {line["level"] for line in lines_of(worker.log)} == {"info"}


class TestWhatGoesWrong:
    def test_a_failure_is_an_error_with_reason_and_trace(self, start: Start, submit: Submit, ended: Ended) -> None:
        worker = start("encoding", "callbacks", threads=2, log_format="json")
        job = submit(blow_up="the sky fell")
        ended(job)

        (error,) = [line for line in lines_of(worker.log) if line["level"] == "error"]
        assert (error["event"], error["job"], error["step"]) == ("failed", job, "encode")
        assert "the sky fell" in error["reason"]
        assert "ValueError: the sky fell" in error["exception"]

    def test_what_is_put_back_is_told_with_the_reason_and_the_next_try(
        self, start: Start, submit: Submit, ended: Ended, tmp_path: Path, story_of: Story
    ) -> None:
        start("encoding", "callbacks", threads=2)
        blocker = tmp_path / "media" / "file"
        blocker.touch()
        job = submit(output=blocker / "0042", write="x")

        def put_back() -> dict[str, Any] | None:
            return next((line for line in story_of(job) if line["event"] == "put back"), None)

        line = until(put_back, what="it is put back")
        blocker.unlink()
        assert "is not a folder" in line["reason"]
        assert 0 < line["next_try"] <= 1
        assert ended(job).state is State.SUCCEEDED

    def test_a_stopped_worker_says_that_it_hands_its_job_back(
        self, start: Start, submit: Submit, story_of: Story
    ) -> None:
        worker = start("encoding")
        job = submit(sleep=30)
        child_of(job)

        worker.stop()

        assert [line["reason"] for line in story_of(job) if line["event"] == "put back"] == ["the worker stops"]


class TestSlots:
    @pytest.mark.long
    def test_a_job_that_waits_for_a_slot_is_told_with_who_holds_it(self, start: Start, submit: Submit) -> None:
        worker = start("encoding", processes=2, log_format="json")
        first = submit(sleep=60)
        child_of(first)
        submit(write="x")

        def waiting() -> dict[str, Any] | None:
            return next((line for line in lines_of(worker.log) if line["event"] == "waiting for a slot"), None)

        line = until(waiting, within=50, what="it is told")
        assert (line["queue"], line["waiting"]) == ("encoding", 1)
        assert line["held_by"].startswith(f"encode of {first} in process ")
