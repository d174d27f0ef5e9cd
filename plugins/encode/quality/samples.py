"""Where in a film to look: short stretches that stand for the rest of it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

from plugins.encode.source.reader import open_scene, scene_packets
from plugins.encode.video.filters import filters_for
from plugins.encode.video.pictures import INSTANT, Thinner, TimeWindow
from plugins.media.decoding import Damaged, decode
from plugins.media.opener import open_source

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from core import Context
    from plugins.encode.film import Film

#: Seconds that are looked at: from a keyframe to the next in profile `lecture`, because quality falls in between; two
#: such stretches of Esup-Pod's.
LENGTH = Fraction(2)

#: Seconds that an encoder is shown before, so that its quantisers and the fill of its rate buffer are those of the
#: midst of a film: they follow some twenty frames, and the buffer
#: holds a second.
_RUN_UP = Fraction(1)

#: Frames that it is shown behind, at most: Esup-Pod's looks half a hundred ahead.
_RUN_OUT = 64

#: Samples of the longest film, of the shortest, and seconds of film for which there is one more.
_MOST, _LEAST, _ONE_MORE = 12, 2, 240


def places(film: Film) -> list[Fraction]:
    """Return when samples begin, in seconds of the film: there may be a keyframe.

    They are spread over the lecture, one by how much changes, as its packets' sizes tell, the next by time.
    """
    scene = film.lecture
    begin, end = float(scene.start), float(scene.start + scene.length)
    count = min(max(int((end - begin) / _ONE_MORE), _LEAST), _MOST)
    first, last = math.ceil(scene.at / LENGTH), math.floor((scene.at + scene.length) / LENGTH) - 1
    if last - first < count:
        return [first * LENGTH]
    sizes = _sizes(film, begin, end)
    mass = list(itertools.accumulate(size for _, size in sizes))
    chosen: list[int] = []
    for number in range(count):
        share = (number + 0.5) / count
        time = begin + share * (end - begin)
        if mass and number % 2 == 0:
            time = next(at for (at, _), so_far in zip(sizes, mass, strict=True) if so_far >= share * mass[-1])
        # Not over each other, and whole.
        step = round((time - float(LENGTH) / 2 - begin + float(scene.at)) / float(LENGTH))
        earliest = chosen[-1] + 1 if chosen else first
        chosen.append(min(max(step, earliest), last - (count - 1 - number)))
    return [step * LENGTH for step in chosen]


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


def frames(begin: Fraction, film: Film, context: Context) -> Iterator[VideoFrame]:
    """Yield a sample's pictures and those around it as the film has them: upright, whole, with its watermark.

    Time stamps are the source's.

    :param begin: of the sample, in seconds of the film.
    """
    video, scene = film.media.video, film.lecture
    assert video
    start = scene.start + begin - scene.at
    last = start + LENGTH + _RUN_OUT / video.rate
    end = last if scene.end is None else min(last, scene.end)
    stretch = replace(scene, start=max(start - _RUN_UP, scene.start), end=end)
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
