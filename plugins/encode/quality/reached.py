"""How good the renditions have become, measured where the samples were taken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from fractions import Fraction
from typing import TYPE_CHECKING

from plugins.encode.quality.looks import References, Shown
from plugins.encode.quality.metrics import Score, pooled
from plugins.encode.quality.samples import LENGTH, frames
from plugins.encode.video.pictures import Scaler
from plugins.encode.video.timeline import Timeline
from plugins.media.opener import open_source

if TYPE_CHECKING:
    from pathlib import Path

    from av.video.frame import VideoFrame

    from core import Context
    from plugins.encode.film import Film
    from plugins.encode.output.package import Encoded
    from plugins.encode.quality.aim import Aim
    from plugins.media.settings import MediaSettings

#: Seconds before a sample at which its picture is looked for: a keyframe's interval, and what an index is wrong by.
_BACK = 12


def reached(aims: Sequence[Aim], renditions: Sequence[Encoded], film: Film, context: Context) -> Mapping[str, Score]:
    """Return the score of each rendition that had an aim, by name."""
    begins = {aim.rendition: aim.samples for aim in aims}
    scores = {}
    for encoded in renditions:
        name = encoded.rendition.name
        found = [_score(begin, encoded, film, context) for begin in begins.get(name, ())]
        if known := [score for score in found if score]:
            scores[name] = pooled(known)
    return scores


def _score(begin: Fraction, encoded: Encoded, film: Film, context: Context) -> Score | None:
    video = film.media.video
    assert video
    references, scaler = References(begin, video.rate), Scaler(encoded.rendition)
    clock = Timeline(1, video.rate, video.time_base, film.lecture.shift)
    for frame in frames(begin, film, context):
        clock.stamp(frame)
        assert frame.pts is not None
        at = frame.pts * video.time_base
        if at >= begin + LENGTH:
            break
        if references.want(at):
            references.add(at, scaler.scale(frame))
    if references:
        with suppress(StopIteration):
            shown = _pictures(encoded.segments, encoded.begin, begin, film.media.settings)
            return references.score(Shown(shown))
    return None


def _pictures(
    path: Path, first: Fraction, begin: Fraction, settings: MediaSettings
) -> Iterator[tuple[Fraction, VideoFrame]]:
    """Yield a rendition's pictures with their times in the film, from a keyframe before a sample on."""
    with open_source(path, settings) as container:
        (stream,) = container.streams.video
        assert stream.time_base
        start = (stream.start_time or 0) * stream.time_base - first
        if begin > _BACK:
            container.seek(round((start + begin - _BACK) / stream.time_base), stream=stream)
        for frame in container.decode(stream):
            if frame.pts is not None:
                yield frame.pts * stream.time_base - start, frame
