"""Damaged recordings of every kind through encode and transcribe: kept with every missing second told, or refused.

Three hundred seeds by `make test-long`, in supervised children as a worker runs them; a few here, in this process.
"""

from __future__ import annotations

import array
import gzip
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import pytest

import plugins.encode
from core import Artifact, BadSource, Job, Source
from core.model import State, StepResult
from core.pipeline import in_process, lifecycle
from core.pipeline.planning import Host
from core.plugin_host.manager import Manager
from core.settings import Settings
from core.storage import job_state
from core.storage.job_folder import JobFolder
from core.testing import fake_context, fake_job, make_clip
from plugins.media.truncation import end_notes
from plugins.transcript.sound.audio import iter_audio, record

from .mutations import mutated

DATA = Path(__file__).parents[1] / "data"

_SECONDS, _RATE = 4, 10
_CLIP: dict[str, Any] = {"seconds": _SECONDS, "rate": _RATE, "width": 64, "height": 36, "keyframe_every": 10}

KINDS = ("mp4", "mov", "mkv", "webm", "ts", "avi", "flv", "mp3", "m4a", "ogg", "flac", "wav")

#: What says that something is missing.
_TOLD = ("missing", "the source says that it lasts", "was left out", "was cut off", "breaks off")

#: Seconds that may be missing without a word.
_UNSAID = 1.0


@dataclass(frozen=True)
class Outcome:
    """What became of a damaged recording in a step."""

    verdict: str
    #: Seconds of pictures and of sound in the result; None where there can be none.
    seconds: tuple[float | None, float | None] = (None, None)
    notes: Sequence[str] = ()
    reason: str = ""

    @property
    def is_honest(self) -> bool:
        """Tell whether all that is missing is said."""
        short = any(seconds is not None and _SECONDS - seconds >= _UNSAID + 0.2 for seconds in self.seconds)
        return not short or any(words in note for words in _TOLD for note in self.notes)


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("originals")
    made = {kind: make_clip(folder / f"a.{kind}", **_CLIP) for kind in KINDS if kind != "flv"}
    made["flv"] = folder / "a.flv"
    with av.open(str(made["mp4"])) as one, av.open(str(made["flv"]), "w") as other:
        streams = {stream.index: other.add_stream_from_template(stream) for stream in one.streams}
        for packet in one.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                other.mux_one(packet)
    return {kind: path.read_bytes() for kind, path in made.items()}


def encoded(path: Path, folder: Path) -> Outcome:
    context = fake_context(folder, path, threads=1)
    try:
        output = plugins.encode.plugin.encode(fake_job(path), Source(path=path), {"preset": "ultrafast"}, context)
    except BadSource as error:
        return Outcome("refused", reason=str(error))
    return Outcome("encoded", in_result(output.artifacts, context.output), output.notes)


def transcribed(path: Path, folder: Path) -> Outcome:
    """Read the sound as the transcription does, which is all of it that damage concerns."""
    lost: list[Any] = []
    folder.mkdir()
    try:
        recording = record(iter_audio(path, None, lost), folder / "sound.s16")
    except BadSource as error:
        return Outcome("refused", reason=str(error))
    loud = loud_seconds(array.array("h", recording.path.read_bytes()), 16_000, 600)
    return Outcome("transcribed", (None, loud), replace(recording, lost=lost, end_notes=end_notes(path)).notes)


def in_result(artifacts: Sequence[Artifact], folder: Path) -> tuple[float | None, float | None]:
    frames = next((artifact.frames for artifact in artifacts if artifact.kind == "rendition"), None)
    sound = next((folder / artifact.path for artifact in artifacts if artifact.kind == "audio"), None)
    return (
        None if frames is None else frames / _RATE,
        None if sound is None else loud_seconds(*samples_of(sound), 600),
    )


def samples_of(path: Path) -> tuple[array.array[int], int]:
    samples = array.array("h")
    resampler = av.AudioResampler("s16", "mono", 16_000)
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            for ready in resampler.resample(frame):
                samples.frombytes(bytes(ready.planes[0])[: ready.samples * 2])
    return samples, 16_000


def loud_seconds(samples: array.array[int], rate: int, level: int) -> float:
    """Count the tenths of a second in which something is heard."""
    size = rate // 10
    return sum(max(map(abs, samples[at : at + size])) > level for at in range(0, len(samples), size)) / 10


def check(outcome: Outcome, path: Path) -> None:
    if outcome.verdict == "refused":
        assert outcome.reason.startswith(str(path))
        assert "\n" not in outcome.reason
    assert outcome.is_honest, (path.name, outcome)


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_of_three_hundred_damaged_recordings_none_is_blamed_on_anybody_else(
    originals: dict[str, bytes], kind: str, tmp_path: Path
) -> None:
    """As a host runs them, in supervised children: a crash would be a failed attempt, not a refusal."""
    settings = Settings(jobs_root=tmp_path / "root", media_roots=(tmp_path,), keep_seconds=60)
    host = Host(settings, Manager(settings))
    model = tmp_path / "micro-whisper.pt"
    model.write_bytes(gzip.decompress((DATA / "micro-whisper.pt.gz").read_bytes()))
    for number in range(25):
        path = tmp_path / f"{number}.{kind}"
        path.write_bytes(mutated(originals[kind], 1_000 * KINDS.index(kind) + number))
        for step, options in (("encode", {"preset": "ultrafast"}), ("transcribe", {"model": str(model)})):
            job = Job(id=f"{step}{number}", sources=(Source(path=path),), steps=(step,), language="en", options=options)
            folder, _ = lifecycle.submit(job, settings.jobs_root)
            in_process.run_embedded(host, folder)
            result = job_state.result(folder, step, folder.run())
            assert result
            check(_outcome(result, folder), path)


def _outcome(result: StepResult, folder: JobFolder) -> Outcome:
    if result.state != State.SUCCEEDED:
        return Outcome("refused", reason=result.reason or "")
    assert result.attempt == 1
    return Outcome("done", in_result(result.artifacts, folder.path / (result.folder or "")), result.notes)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("turn", [0, 1])
def test_damage_is_told_or_refused(originals: dict[str, bytes], kind: str, turn: int, tmp_path: Path) -> None:
    path = tmp_path / f"damaged.{kind}"
    path.write_bytes(mutated(originals[kind], KINDS.index(kind) * 7 + turn))
    for number, step in enumerate((encoded, transcribed)):
        check(step(path, tmp_path / str(number)), path)
