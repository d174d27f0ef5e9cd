"""The sound of any media file as 16 kHz mono floats, a piece at a time, on the clock of the file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from av.error import BlockingIOError as NeedsMore
from av.error import EOFError as Drained
from av.filter import Graph

from core.errors import BadSource
from plugins.media.coverage import MOMENT, Extent, Hole, SoundCoverage, loss, merged, seconds_of, stated_end
from plugins.media.decoding import Damaged, damage, decode
from plugins.media.limits import check_duration
from plugins.media.opener import open_source
from plugins.media.settings import DEFAULTS, MediaSettings
from plugins.media.silence import check_silence
from plugins.media.source_file import packets
from plugins.media.tracks import usable
from plugins.transcript.sound.downmix import Downmix
from plugins.transcript.sound.windows import RATE

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.resampler import AudioResampler
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

#: Seconds by which the file's clock may run ahead of its sound before silence is put in.
_GAP = 0.1

#: Peak that the limiter allows; resampling and coding may add a little to it.
_CEILING = 0.9

#: The form in which libavfilter hands sound back: ebur128 works in another.
_FORM = ("aformat", f"sample_fmts=flt:sample_rates={RATE}:channel_layouts=mono")

#: A recording below this has no speech that a gain could save, LUFS.
_SILENCE = -60.0


def iter_audio(
    path: Path, gain: float | None = None, lost: list[Hole] | None = None, settings: MediaSettings = DEFAULTS
) -> Iterator[Samples]:
    """Yield the sound in pieces of a second or so, silence where the file has a hole.

    :param gain: dB to raise it by, peaks held by a limiter.
    :param lost: is given what could not be read, in seconds from the beginning, once all is read.
    :raises BadSource: there is no sound, or none that can be decoded.
    """
    sound = _decoded(path, [] if lost is None else lost, settings)
    if gain:
        sound = _through(sound, [("volume", f"{gain:.2f}dB"), ("alimiter", f"limit={_CEILING}:level=0")])
    yield from _pieces(sound)


def loudness(path: Path, settings: MediaSettings = DEFAULTS) -> float:
    """Measure the integrated loudness of the sound as it is transcribed, mono, in LUFS (EBU R 128)."""
    measured = _SILENCE
    for frame in _through(_decoded(path, [], settings), [("ebur128", "metadata=1:framelog=quiet")]):
        measured = float(frame.metadata.get("lavfi.r128.I", measured))
    return measured


def gain_for(path: Path, target: float, settings: MediaSettings = DEFAULTS) -> float | None:
    """Return the dB that bring a recording to `target` LUFS; None for silence."""
    measured = loudness(path, settings)
    return target - measured if measured > _SILENCE else None


@contextmanager
def _opened(path: Path, settings: MediaSettings) -> Iterator[tuple[InputContainer, AudioStream]]:
    with open_source(path, settings) as container:
        streams, _ = usable(container.streams.audio, path, settings)
        if not streams:
            raise BadSource(f"{path} has no sound to transcribe", remedy="upload one with sound", path=str(path))
        default = [stream for stream in streams if stream.disposition & av.stream.Disposition.default]
        yield container, (default or list(streams))[0]


def unheard_tracks(path: Path, settings: MediaSettings = DEFAULTS) -> list[str]:
    """Say which audio tracks are not transcribed: those besides the default one, and those that may not be decoded."""
    with open_source(path, settings) as container:
        streams, notes = usable(container.streams.audio, path, settings)
    others = len(streams) - 1
    if others > 0:
        which = f"{others} other{'s' if others > 1 else ''}"
        notes.append(f"only the default audio track was transcribed, not the {which}")
    return notes


def _decoded(path: Path, lost: list[Hole], settings: MediaSettings) -> Iterator[AudioFrame]:
    """Yield mono frames at `RATE`; what is damaged is left out and told in `lost`."""
    with _opened(path, settings) as (container, stream):
        ears = _Ears(
            path, None if len(container.streams) == 1 else float(container.start_time or 0) / av.time_base, settings
        )
        coverage, extent = SoundCoverage(), Extent()
        tracks = [stream, *container.streams.video]  # how far the film goes
        for packet in packets(container, tracks, coverage.damaged):
            extent.demuxed(packet)
            if packet.stream.index != stream.index:
                continue
            coverage.demuxed(packet)
            try:
                for frame in decode(packet):
                    span = coverage.span(frame)
                    yield from ears.hear(frame)
                    coverage.covered(span)
            except Damaged:
                coverage.damaged()
        yield from ears.flush()
        origin = Fraction(ears.origin or 0)
        holes = merged([*coverage.finish(stated_end(stream)), *extent.missing(container, path)])
        lost += [(start - origin, end - origin) for start, end in holes]
    if not ears.samples:
        raise BadSource(f"{path}: its sound can't be decoded", remedy="upload it again", path=str(path))


class _Ears:
    """Brings frames to one form, whatever form they change to, and puts silence where the file's clock has a hole.

    `origin` is the second at which the file begins; None for a file that begins with its sound.
    """

    def __init__(self, path: Path, origin: float | None, settings: MediaSettings) -> None:
        self.origin = origin
        self._settings = settings
        self.samples = 0
        self._path = path
        #: Seconds of silence that were put in.
        self._filled = 0.0
        self._resampler: AudioResampler | None = None
        self._form: tuple[str, str, int] | None = None
        self._downmix: Downmix | None = None

    def hear(self, frame: AudioFrame) -> Iterator[AudioFrame]:
        form = frame.format.name, frame.layout.name, frame.sample_rate
        if self._resampler is None or form != self._form:
            yield from self.flush()
            self._downmix = Downmix() if frame.layout.nb_channels == 2 else None
            kind = ("fltp", "stereo") if self._downmix else ("flt", "mono")
            with damage():
                self._resampler, self._form = av.AudioResampler(*kind, RATE), form
        moment, frame.pts = frame.time, None
        resampled = self._resampled(frame)
        yield from self._hole(moment)
        sane = [one for one in resampled if np.isfinite(one.to_ndarray()).all()]
        yield from self._counted(one if one in sane else _silence(one.samples) for one in resampled)
        if len(sane) < len(resampled):
            raise Damaged("not a number")

    def flush(self) -> Iterator[AudioFrame]:
        if self._resampler:
            yield from self._counted(self._resampled(None))
            self._resampler = None

    def _resampled(self, frame: AudioFrame | None) -> list[AudioFrame]:
        assert self._resampler
        try:
            with damage():
                resampled = self._resampler.resample(frame)
        except Damaged:
            self._resampler = None  # it would fail again when it is flushed
            raise
        return [self._downmix.mix(one) for one in resampled] if self._downmix else resampled

    def _hole(self, moment: float | None) -> Iterator[AudioFrame]:
        if self.origin is None:
            self.origin = moment or 0.0
        missing = 0.0 if moment is None else moment - self.origin - self.samples / RATE
        if missing > _GAP:
            self._filled += missing
            check_silence(self._filled, self._path, self._settings)
            rest = round(missing * RATE)
            yield from self._counted(_silence(min(RATE, rest - at)) for at in range(0, rest, RATE))

    def _counted(self, frames: Iterable[AudioFrame]) -> Iterator[AudioFrame]:
        for frame in frames:
            self.samples += frame.samples
            check_duration(self.samples / RATE, self._path, self._settings)
            yield frame


def _silence(samples: int) -> AudioFrame:
    frame = av.AudioFrame.from_ndarray(np.zeros((1, samples), np.float32), format="flt", layout="mono")
    frame.sample_rate = RATE
    return frame


def _pieces(frames: Iterable[AudioFrame]) -> Iterator[Samples]:
    held: list[Samples] = []
    for frame in frames:
        held.append(frame.to_ndarray()[0].astype(np.float32, copy=False))
        if sum(map(len, held)) >= RATE:
            yield np.concatenate(held)
            held = []
    if held:
        yield np.concatenate(held)


def _through(frames: Iterable[AudioFrame], filters: Sequence[tuple[str, str]]) -> Iterator[AudioFrame]:
    """Send mono frames through libavfilter; they come out in the form in which they went in."""
    graph, clock = Graph(), Fraction(1, RATE)
    entry = graph.add_abuffer(format="flt", sample_rate=RATE, layout="mono", time_base=clock)
    leave = graph.add("abuffersink")
    chain = [entry, *(graph.add(name, arguments) for name, arguments in (*filters, _FORM)), leave]
    for one, other in pairwise(chain):
        one.link_to(other)
    graph.configure()
    done = 0
    for frame in frames:
        frame.pts, frame.time_base = done, clock
        done += frame.samples
        entry.push(frame)
        yield from _pulled(leave)
    entry.push(None)
    yield from _pulled(leave)


def _pulled(leave: Any) -> Iterator[AudioFrame]:
    while True:
        try:
            yield leave.pull()
        except (NeedsMore, Drained):
            return


@dataclass(frozen=True)
class Recording:
    """A lecture's sound on the disk, 16 bits a sample, so that its length costs no memory."""

    path: Path
    samples: int
    #: What could not be read, in seconds.
    lost: Sequence[Hole] = ()
    #: What is odd about the file's end, though no length tells it.
    end_notes: Sequence[str] = ()
    #: What is to be said of audio tracks that were not listened to.
    unheard_tracks: Sequence[str] = ()

    @property
    def seconds(self) -> float:
        return self.samples / RATE

    @property
    def facts(self) -> dict[str, Any]:
        seconds = seconds_of(self.lost)
        missing = {"missing_seconds": {"sound": round(seconds, 1)}} if seconds >= MOMENT else {}
        return {"duration": round(self.seconds, 3), **missing}

    @property
    def notes(self) -> list[str]:
        """What is to be said of it."""
        return [*loss("sound", self.lost), *self.end_notes, *self.unheard_tracks]

    def read(self, start: int, end: int) -> Samples:
        """Return the samples from `start` to `end`."""
        raw = np.fromfile(self.path, dtype="<i2", count=end - start, offset=start * 2)
        return raw.astype(np.float32) / 32768.0


def record(pieces: Iterable[Samples], path: Path) -> Recording:
    """Write sound to the disk."""
    samples = 0
    with path.open("wb") as file:
        for piece in pieces:
            file.write((np.clip(piece, -1.0, 1.0) * 32767).astype("<i2").tobytes())
            samples += len(piece)
    return Recording(path, samples)
