"""Steps beside each other, on workers that know nothing of each other."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from core import jobs
from core.jobs import Status
from core.model import State
from core.settings import Settings

from ..conftest import TOY_ENGINE, InstallPlugin
from .conftest import Start, child_of, result_of, until

Ended = Callable[..., Status]

EAR = """
    import os
    from pathlib import Path
    from core import Artifact, Segment, Transcript, hookimpl

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
