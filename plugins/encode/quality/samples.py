"""Where in a film to look: short stretches that stand for the rest of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

from plugins.encode.source.reader import open_scene, scene_packets
from plugins.encode.video.filters import filters_for
from plugins.encode.video.pictures import INSTANT, Scaler, Thinner, TimeWindow, Twins
from plugins.encode.video.still import Samples, difference
from plugins.media.decoding import Damaged, decode
from plugins.media.opener import open_source

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from core import Context
    from plugins.encode.film import Film
    from plugins.encode.profiles import Profile
    from plugins.encode.video.ladder import Rendition

#: Seconds that are looked at: what lies between two keyframes of Esup-Pod's.
LENGTH = Fraction(1)

#: What an encoder is shown before, so that its quantisers and the fill of its rate buffer are those of the midst of a
#: film: so many frames that show something new, or where little changes so many seconds. Esup-Pod's needs the second
#: that fills the buffer.
_RUN_UP_FRAMES, _RUN_UP = 25, Fraction(3)
POD_RUN_UP = Fraction(1)

#: Seconds that it is shown behind: a fast preset of x264 looks ten frames ahead.
_RUN_OUT = Fraction(2, 5)

#: Samples of the longest film, of the shortest, and seconds of film for which there is one more.
_MOST, _LEAST, _ONE_MORE = 12, 2, 240


@dataclass
class Shown:
    """One picture, scaled for each rendition."""

    time: Fraction
    pts: int
    duration: int
    pictures: list[VideoFrame]
    #: Whether it shows something else than the one before.
    is_new: bool


@dataclass(frozen=True)
class Sample:
    """A stretch of the lecture, with what comes before and behind it."""

    shown: Sequence[Shown]
    #: Second of the source at which the stretch begins that is looked at.
    begin: Fraction


def places(film: Film) -> list[Fraction]:
    """Return when samples begin, in seconds of the source.

    They are spread over the lecture, one by how much changes, as its packets' sizes tell, the next by time.
    """
    scene = film.lecture
    begin, end = float(scene.start), float(scene.start + scene.length)
    count = min(max(int((end - begin) / _ONE_MORE), _LEAST), _MOST)
    if end - begin <= count * (LENGTH + _RUN_OUT):
        return [scene.start]
    sizes = _sizes(film, begin, end)
    mass = list(itertools.accumulate(size for _, size in sizes))
    chosen: list[float] = []
    for number in range(count):
        share = (number + 0.5) / count
        time = begin + share * (end - begin)
        if mass and number % 2 == 0:
            time = next(at for (at, _), so_far in zip(sizes, mass, strict=True) if so_far >= share * mass[-1])
        # Not over each other, and whole.
        earliest = chosen[-1] + float(LENGTH) if chosen else begin
        chosen.append(min(max(time - float(LENGTH) / 2, earliest), end - float(LENGTH) * (count - number)))
    return [Fraction(time).limit_denominator(1000) for time in chosen]


def _sizes(film: Film, begin: float, end: float) -> Sequence[tuple[float, int]]:
    """Return when the lecture's packets are shown and their bytes, if the container's index tells."""
    video = film.media.video
    assert video
    with open_source(film.media.path, film.media.settings) as container:
        stream = container.streams[video.index]
        entries = getattr(stream, "index_entries", ())
        times = [(float(entry.timestamp * video.time_base - film.media.origin), entry.size) for entry in entries]
    known = [(time, size) for time, size in times if begin <= time < end and size > 0]
    # An index of keyframes alone, as Matroska has, says nothing of what happens between them.
    return known if len(known) > (end - begin) * float(video.rate) / 2 else ()


def sample_at(
    begin: Fraction, film: Film, renditions: Sequence[Rendition], profile: Profile, context: Context
) -> Sample:
    """Decode a sample, and scale it as the film is scaled. One that can't be decoded is empty."""
    scalers = [Scaler(rendition) for rendition in renditions]
    twins, most = Twins(), difference(profile.unchanged)
    shown: list[Shown] = []
    before: Samples | None = None
    changed: Samples | None = None
    for frame in _frames(begin, film, context):
        assert frame.pts is not None
        assert frame.time_base is not None
        time, pts, duration = frame.pts * frame.time_base - film.media.origin, frame.pts, frame.duration
        samples = Samples(frame)
        is_new = changed is None or most is None or not samples.are(changed, most)
        # Esup-Pod's encoder gets what differs at all, but not what comes before its run-up.
        is_wanted = is_new or (not (before and samples.are(before)) and time >= begin - POD_RUN_UP)
        if is_wanted:
            pictures: list[VideoFrame] = []
            for scaler in scalers:
                picture = scaler.scale(frame)
                # Two renditions of one size: each is encoded in a thread of its own.
                is_given = any(picture is other for other in pictures)
                pictures.append(twins.copy(picture) if is_given else picture)
        else:
            pictures = [twins.copy(picture) for picture in shown[-1].pictures]
        before, changed = samples, samples if is_new else changed
        shown.append(Shown(time, pts, duration, pictures, is_new))
        shown = _needed(shown, begin)
    return Sample(shown, begin)


def _needed(shown: list[Shown], begin: Fraction) -> list[Shown]:
    """Leave out what is more than enough before a sample."""
    new = [number for number, one in enumerate(shown) if one.is_new and one.time < begin]
    first = new[-_RUN_UP_FRAMES] if len(new) > _RUN_UP_FRAMES else 0
    while first and shown[first].time > begin - POD_RUN_UP:
        first -= 1
    return shown[first:]


def _frames(begin: Fraction, film: Film, context: Context) -> Iterator[VideoFrame]:
    """Yield pictures as the film has them: upright, whole, with its watermark. Time stamps are the source's."""
    video = film.media.video
    assert video
    stretch = replace(film.lecture, start=max(begin - _RUN_UP, Fraction(0)), end=begin + LENGTH + _RUN_OUT)
    filters = filters_for(stretch, video, context.workdir)
    thinner = Thinner(video) if video.keep_one_in > 1 else None
    window = TimeWindow(replace(stretch, start=max(stretch.start, INSTANT)))
    with open_scene(stretch, context) as container:
        for packet in scene_packets(container, stretch, [video.index]):
            context.raise_if_cancelled()
            with suppress(Damaged):
                for frame in (seen for decoded in decode(packet) for seen in window.look(decoded)):
                    if (
                        frame.pts is not None
                        and frame.time_base is not None
                        and not (thinner and not thinner.keeps(frame))
                    ):
                        yield from filters.put(frame) if filters else (frame,)
    if filters:
        yield from filters.flush()
