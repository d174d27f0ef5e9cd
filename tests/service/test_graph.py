"""Steps beside each other, on workers that know nothing of each other."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from core import jobs
from core.jobs import Status
from core.model import Callback, State
from core.settings import Settings

from ..conftest import TOY_ENGINE, InstallPlugin
from .conftest import Start, Worker, child_of, leftovers, result_of, until

Ended = Callable[..., Status]

EAR = """
    import os
    from pathlib import Path
    from core import Access, Artifact, Segment, Transcript, hookimpl

    @hookimpl
    def child_access():
        return Access(write=(os.environ["TMPDIR"],))

    @hookimpl
    def transcribe(job, audio):
        Path(os.environ["TMPDIR"], f"heard-{job.id}").write_text(audio.name)
        return Transcript(language="en", segments=())

    @hookimpl
    def write_captions(transcript, context):
        (context.output / "a.vtt").write_text("WEBVTT")
        return [Artifact(kind="caption", path="a.vtt", media_type="text/vtt", language="en")]
"""


@pytest.fixture
def toy_service(service: Settings, install_plugin: InstallPlugin, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The toy's service with ears."""
    install_plugin("toy", TOY_ENGINE)
    install_plugin("ear", EAR)
    monkeypatch.setenv("AMPHIPOD_PLUGINS_ONLY", "toy,ear")
    return service.model_copy(update={"plugins_only": ("toy", "ear")})


def submit(settings: Settings, **do: object) -> str:
    return jobs.submit("a.mp4", steps=["encode", "transcribe"], options={"do": do}, settings=settings)


def test_a_transcription_ends_while_the_encode_goes_on_and_both_are_published(
    toy_service: Settings, start: Start, ended: Ended
) -> None:
    start("encoding", "callbacks", threads=2)
    start("transcripting")
    job = submit(toy_service, keep_time=True, sleep=4, write="x")
    child_of(job)
    until(
        lambda: (
            (status := jobs.status(job, settings=toy_service)).steps["transcribe"].state is State.SUCCEEDED
            and status.steps["encode"].state is State.RUNNING
        ),
        what="the captions are there before the film",
    )
    assert ended(job).state is State.SUCCEEDED
    folder = toy_service.jobs_root / "jobs" / job / "out"
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == ["360p.mp4", "a.vtt"]
    assert result_of(toy_service, job, "transcribe")["attempt"] == 1


@pytest.mark.long
def test_where_the_film_s_time_is_another_s_it_comes_after(toy_service: Settings, start: Start, ended: Ended) -> None:
    start("encoding", "transcripting", "callbacks", threads=2)
    job = submit(toy_service, write="x")
    assert ended(job).state is State.SUCCEEDED
    encoded, heard = (result_of(toy_service, job, step) for step in ("encode", "transcribe"))
    assert heard["started_at"] > encoded["finished_at"]


def test_captions_are_kept_and_published_though_the_encode_beside_them_fails(
    toy_service: Settings, start: Start, ended: Ended
) -> None:
    start("encoding", "transcripting", "callbacks", threads=2)
    job = submit(toy_service, keep_time=True, sleep=1, refuse="no picture")
    status = ended(job)
    assert (status.state, status.reason) == (State.FAILED, "encode: a.mp4: no picture")
    assert status.steps["transcribe"].state is State.SUCCEEDED


BOARD = """
    import os
    from pathlib import Path
    from core import Case, Verdict, hookimpl

    @hookimpl
    def register_callbacks():
        return {"board": tell}

    def tell(case: Case) -> Verdict:
        with Path(case.delivery.callback.url).open("a") as board:
            board.write(f"{case.folder.id} {case.state}\\n")
        return Verdict("taken", "read")
"""


@pytest.mark.long
@pytest.mark.timeout(600)
def test_with_a_worker_killed_every_three_seconds_each_job_is_published_and_told_once(
    toy_service: Settings,
    start: Start,
    install_plugin: InstallPlugin,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    install_plugin("board", BOARD)
    monkeypatch.setenv("AMPHIPOD_PLUGINS_ONLY", "toy,ear,board")
    monkeypatch.setenv("AMPHIPOD_STEP_ATTEMPTS", "50")
    chance = random.Random(7)

    def begin(number: int) -> Worker:
        return start("encoding", "transcripting", "callbacks", threads=2, run_dir=f"run-{number}")

    workers = [begin(number) for number in range(3)]
    board = tmp_path / "board"
    sent = [
        jobs.submit(
            "a.mp4",
            steps=["encode", "transcribe"],
            options={"do": {"keep_time": True, "sleep": chance.uniform(0.1, 2), "write": "x"}},
            callbacks=[Callback(kind="board", url=str(board))],
            settings=toy_service,
        )
        for _ in range(60)
    ]
    for number in range(3, 20):
        time.sleep(3)
        victim = workers.pop(chance.randrange(len(workers)))
        for pid in [*victim.pids, victim.process.pid]:
            os.kill(pid, signal.SIGKILL)
        workers.append(begin(number))

    def over() -> bool:
        return all(jobs.status(job, settings=toy_service).state.is_final for job in sent)

    until(over, within=240, what="all are over")
    assert {jobs.status(job, settings=toy_service).state for job in sent} == {State.SUCCEEDED}
    until(lambda: len(board.read_text().split("\n")) > len(sent), within=60, what="all are told")
    told = Counter(board.read_text().splitlines())
    assert set(told) == {f"{job} succeeded" for job in sent}
    assert sum(told.values()) - len(sent) <= 2  # a kill between telling and writing it down tells once more
    for job in sent:
        made = [path.name for path in (toy_service.jobs_root / "jobs" / job / "out").rglob("*") if path.is_file()]
        assert sorted(made) == ["360p.mp4", "a.vtt"]
        assert leftovers(toy_service, job) == []
