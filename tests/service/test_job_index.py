"""With a broker jobs are listed from Redis: indexed as they change, made anew from the files on demand."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from core import jobs
from core.job_index import JobQuery, JobRow, RowState, open_index, rebuild
from core.jobs import Status, detail, recovery
from core.model import State, now
from core.queue import job_row, job_rows
from core.retention.holdings import Removable
from core.settings import Settings
from core.storage.job_folder import JobFolder

from .conftest import RedisServer, Start, Submit, child_of, until

Ended = Callable[..., Status]


def rows(settings: Settings, **query: Any) -> list[JobRow]:
    return list(open_index(settings).page(JobQuery(**query)).rows)


def state_of(settings: Settings, job: str) -> RowState:
    (row,) = open_index(settings).rows([job])
    return row.state


class TestAsItChanges:
    def test_from_submission_to_its_end(
        self, start: Start, submit: Submit, ended: Ended, toy_service: Settings
    ) -> None:
        job = submit(sleep=2, write="x")
        (row,) = rows(toy_service, states=(RowState.WAITING,), queue="encoding")
        assert (row.id, row.step) == (job, "encode")

        start("encoding", "callbacks", threads=2)
        child_of(job)
        running = until(
            lambda: [one for one in rows(toy_service, states=(RowState.RUNNING,)) if one.progress], what="it runs"
        )
        assert (running[0].id, len(running[0].hosts)) == (job, 1)

        ended(job)
        (done,) = until(lambda: rows(toy_service, states=(RowState.SUCCEEDED,)), what="it is listed as done")
        assert (done.id, done.duration, done.step) == (job, 1.0, None)
        assert rows(toy_service, order="ended", since=now() - timedelta(minutes=5)) == [done]

    def test_a_worker_that_dies_leaves_its_job_waiting(
        self, start: Start, submit: Submit, toy_service: Settings
    ) -> None:
        worker = start("encoding")
        job = submit(sleep=30)
        child_of(job)
        until(lambda: state_of(toy_service, job) is RowState.RUNNING, what="it runs")

        worker.signal(signal.SIGKILL)

        until(lambda: state_of(toy_service, job) is RowState.WAITING, 10, "its lease ends")
        assert rows(toy_service, states=(RowState.RUNNING,)) == []

    def test_what_is_put_off_says_why_and_until_when_and_what_failed_why(
        self, start: Start, submit: Submit, ended: Ended, toy_service: Settings, tmp_path: Path
    ) -> None:
        start("encoding", "callbacks", threads=2, retry_seconds="20")
        (tmp_path / "media" / "file").touch()
        delayed = submit(output=tmp_path / "media" / "file" / "0042", write="x")
        failed = submit(refuse="blank")
        ended(failed)

        (put_off,) = until(lambda: rows(toy_service, states=(RowState.DELAYED,)), what="it is delayed")
        (broken,) = until(lambda: rows(toy_service, states=(RowState.FAILED,)), what="it has failed")

        assert (put_off.id, put_off.tries) == (delayed, 1)
        assert put_off.next_try
        assert "is not a folder" in (put_off.reason or "")
        assert (broken.id, broken.step, broken.reason) == (failed, "encode", "encode: a.mp4: blank")
        assert detail.detail(delayed, settings=toy_service).reason == put_off.reason

    def test_cancel_and_retry(self, submit: Submit, toy_service: Settings) -> None:
        job = submit(write="x")

        jobs.cancel(job, settings=toy_service)

        assert state_of(toy_service, job) is RowState.CANCELLED

    def test_who_is_late_does_not_revive_a_job_that_is_over(
        self, submit: Submit, toy_service: Settings, redis_server: RedisServer
    ) -> None:
        job = submit(write="x")
        before = job_row.row_of(JobFolder(toy_service.jobs_root, job))
        jobs.cancel(job, settings=toy_service)

        job_rows.write(redis_server.client, [before])

        assert state_of(toy_service, job) is RowState.CANCELLED

    def test_each_change_is_told_on_a_channel(self, submit: Submit, redis_server: RedisServer) -> None:
        with redis_server.client.pubsub() as channel:  # type: ignore[no-untyped-call]
            channel.subscribe(job_rows.EVENTS)
            channel.get_message(timeout=5)

            job = submit(write="x")

            assert channel.get_message(timeout=5)["data"] == job


class TestPlace:
    def test_the_urgent_go_first(self, submit: Submit, toy_service: Settings) -> None:
        first, second, urgent = submit(write="x"), submit(write="x"), submit(priority="high", write="x")
        index = open_index(toy_service)

        assert [index.place(row) for row in index.rows([urgent, first, second])] == [1, 2, 3]
        line = next(one for one in index.lines() if one.name == "encoding")
        assert (line.jobs, line.oldest is not None) == (2, True)


class TestRebuild:
    def test_it_is_made_anew_from_the_files(
        self, submit: Submit, toy_service: Settings, redis_server: RedisServer
    ) -> None:
        submitted = [submit(write="x") for _ in range(3)]
        before = rows(toy_service)
        client = redis_server.client
        client.delete(*client.scan_iter("amphipod:index:*"))
        job_rows.write(client, [before[0].model_copy(update={"id": "gone"})])
        assert [row.id for row in rows(toy_service)] == ["gone"]

        done = subprocess.run(
            [sys.executable, "-m", "core.cli", "jobs", "--rebuild"], capture_output=True, text=True, check=True
        )

        assert done.stdout == "3 jobs listed, 1 forgotten\n"
        assert rows(toy_service) == before
        assert {row.id for row in before} == set(submitted)

    def test_a_worker_s_look_adds_what_is_missing_and_forgets_what_is_gone(
        self, submit: Submit, toy_service: Settings, redis_server: RedisServer
    ) -> None:
        kept, gone = submit(write="x"), submit(write="x")
        client = redis_server.client
        job_rows.remove(client, [kept])
        shutil.rmtree(JobFolder(toy_service.jobs_root, gone).path)

        recovery.Recheck(client, toy_service).once()

        assert [row.id for row in rows(toy_service)] == [kept]

    def test_a_sweep_takes_the_record_from_the_list(
        self, submit: Submit, toy_service: Settings, redis_server: RedisServer
    ) -> None:
        job = submit(write="x")
        folder = JobFolder(toy_service.jobs_root, job)
        found = Removable(job=job, what="record", why="old", paths=(folder.path,), frees=0)

        rebuild.note_swept(redis_server.client, toy_service.jobs_root, found)

        assert rows(toy_service) == []


class TestMany:
    def test_a_search_through_thousands_goes_on_where_a_page_ended(
        self, toy_service: Settings, redis_server: RedisServer
    ) -> None:
        """More than one command of Redis looks through, with many of the same millisecond."""
        start = now()
        many = [made(number, start - timedelta(seconds=number // 100)) for number in range(6000)]
        job_rows.write(redis_server.client, many)
        index = open_index(toy_service)

        found, cursor = [], None
        while True:
            page = index.page(JobQuery(text="LECON-7", limit=37, cursor=cursor))
            found += [row.id for row in page.rows]
            cursor = page.next_cursor
            if cursor is None:
                break

        assert len(found) == len(set(found))
        assert set(found) == {row.id for row in many if row.title.startswith("Leçon-7")}
        assert index.page(JobQuery(text="nobody")).rows == ()


def made(number: int, at: Any) -> JobRow:
    return JobRow(
        id=f"j{number * 7919 % 6000:04}",
        state=RowState.SUCCEEDED,
        title=f"Leçon-{number}",
        source="a.mp4",
        created_at=at,
        changed_at=at,
        steps={"encode": State.SUCCEEDED},
        correlation_id="c",
    )


@pytest.mark.long
def test_jobs_lists_what_runs_on_top_and_dead_what_was_given_up(
    start: Start, submit: Submit, ended: Ended, toy_service: Settings
) -> None:
    start("encoding", "callbacks", threads=2)
    failed = submit(refuse="blank")
    ended(failed)
    running = submit(sleep=30)
    child_of(running)
    for _ in range(3):
        submit(priority="low", write="x")
    command = [sys.executable, "-m", "core.cli"]

    listed = subprocess.run([*command, "jobs", "--json", "--limit", "2"], capture_output=True, text=True, check=True)
    dead = subprocess.run([*command, "dead"], capture_output=True, text=True, check=True)

    assert json.loads(listed.stdout)["rows"][0]["id"] == running
    assert f"{failed}  " in dead.stdout
    assert "encode: a.mp4: blank" in dead.stdout
