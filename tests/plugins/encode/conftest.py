"""What the encoder's tests share: clips made once, an encoder without a host, and a strict look at what it made."""

from __future__ import annotations

import gc
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from av.stream import Disposition, Stream
from PIL import Image

import plugins.encode
from core import Artifact, Source, StepOutput
from core.testing import fake_context, fake_job, make_clip
from plugins.encode.output.names import ENCODED

#: x264 with B-frames and lookahead, as in production, in a tenth of the time.
FAST = {"preset": "veryfast"}


@dataclass(frozen=True)
class Encoded:
    """A source and what came out of it."""

    source: Path
    folder: Path
    output: StepOutput

    def files(self, kind: str) -> list[Path]:
        return [self.folder / artifact.path for artifact in self.output.artifacts if artifact.kind == kind]

    def artifacts(self, kind: str) -> list[Artifact]:
        return [artifact for artifact in self.output.artifacts if artifact.kind == kind]

    @property
    def films(self) -> list[Path]:
        """Every MP4 and every rendition's playlist."""
        return self.files("rendition") + self.files("playlist")


@dataclass(frozen=True)
class Look:
    """What a decoder finds in a file. Times in seconds, of the file's own clock."""

    frames: tuple[float, ...]
    keyframes: frozenset[float]
    frames_end: float
    sound_start: float
    sound_end: float
    #: What libav says at WARNING or worse while it decodes everything, and each frame that it marks as corrupt.
    faults: tuple[str, ...]

    @property
    def times(self) -> list[float]:
        """Times of the frames from the first one on."""
        return [time - self.frames[0] for time in self.frames]


def look_into(path: Path) -> Look:
    pictures: list[tuple[Fraction, Fraction, bool]] = []
    sounds: list[tuple[Fraction, Fraction]] = []
    faults: list[str] = []
    gc.collect()  # encoders that a test broke off complain when they go: now, not below
    av.logging.set_level(av.logging.WARNING)
    try:
        # Not only this thread's: decoders have threads of their own.
        with av.logging.Capture(local=False) as logs, av.open(str(path)) as container:
            wanted = [s for s in container.streams if s.type in {"video", "audio"} and not _is_cover(s)]
            for packet in container.demux(wanted):
                for frame in _decode(packet, faults):
                    if frame.is_corrupt:
                        faults.append(f"corrupt frame at {frame.pts}")
                    start = (frame.pts or 0) * (frame.time_base or Fraction(0))
                    if isinstance(frame, av.VideoFrame):
                        length = frame.duration * (frame.time_base or Fraction(0))
                        length = length or 1 / (packet.stream.average_rate or Fraction(25))
                        pictures.append((start, start + length, frame.key_frame))
                    else:
                        sounds.append((start, start + Fraction(frame.samples, frame.sample_rate)))
    finally:
        av.logging.set_level(None)
    faults += [f"{name}: {text.strip()}" for level, name, text in logs if level <= av.logging.WARNING]
    return Look(
        frames=tuple(float(start) for start, _, _ in pictures),
        keyframes=frozenset(float(start) for start, _, is_key in pictures if is_key),
        frames_end=float(pictures[-1][1]) if pictures else 0.0,
        sound_start=float(sounds[0][0]) if sounds else 0.0,
        sound_end=float(sounds[-1][1]) if sounds else 0.0,
        faults=tuple(faults),
    )


def _decode(packet: av.Packet[Any], faults: list[str]) -> Iterator[av.VideoFrame | av.AudioFrame]:
    try:
        yield from packet.decode()
    except av.error.InvalidDataError as error:
        faults.append(str(error))


def _is_cover(stream: Stream) -> bool:
    return bool(stream.disposition & Disposition.attached_pic)


@pytest.fixture(scope="session")
def look() -> Callable[[Path], Look]:
    return look_into


@pytest.fixture(scope="session")
def ffmpeg() -> Callable[..., None]:
    """Run Debian's ffmpeg, which makes what no clip of ours is: other recorders' files."""

    def run(*arguments: str | Path) -> None:
        subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, arguments)], check=True)

    return run


def watch_film(path: Path) -> list[tuple[float, Image.Image]]:
    with av.open(str(path)) as container:
        return [
            (float((frame.pts or 0) * (frame.time_base or 0)), frame.to_image())  # type: ignore[no-untyped-call]
            for frame in container.decode(video=0)
        ]


@pytest.fixture(scope="session")
def watch() -> Callable[[Path], list[tuple[float, Image.Image]]]:
    """Return the pictures of a film and when each is shown."""
    return watch_film


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make a clip once a session: `clip("lecture.mp4", seconds=3)`."""
    folder = tmp_path_factory.mktemp("clips")
    made: dict[str, Path] = {}

    def make(name: str, **properties: Any) -> Path:
        key = repr((name, sorted(properties.items())))
        if key not in made:
            path = folder / str(len(made)) / name
            path.parent.mkdir()
            made[key] = make_clip(path, **properties)
        return made[key]

    return make


@pytest.fixture(scope="session")
def encode(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Encoded]:
    """Encode a source as the hook does, once a session; fast unless a preset is given."""
    done: dict[str, Encoded] = {}

    def run(source: Path, *, attributes: dict[str, Any] | None = None, **options: Any) -> Encoded:
        key = repr((source, attributes, sorted(options.items())))
        if key not in done:
            done[key] = fresh(source, attributes, options)
        return done[key]

    def fresh(source: Path, attributes: dict[str, Any] | None, options: dict[str, Any]) -> Encoded:
        context = fake_context(tmp_path_factory.mktemp("job") / "job", source)
        job = fake_job(source, attributes=attributes or {})
        output = plugins.encode.plugin.encode(job, Source(path=source), FAST | options, context)
        names = [artifact.path for artifact in output.artifacts]
        assert [name for name in names if not any(fnmatchcase(name, one) for one in ENCODED)] == [], "not foretold"
        return Encoded(source, context.output, output)

    return run


@pytest.fixture(scope="session")
def lecture(clip: Callable[..., Path], encode: Callable[..., Encoded]) -> Encoded:
    """The common case: twelve seconds of 720p with sound, profile `pod`."""
    return encode(clip("lecture.mp4", seconds=12, width=1280, height=720))
