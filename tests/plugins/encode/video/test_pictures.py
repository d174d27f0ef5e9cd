from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from av.video.frame import PictureType

from plugins.encode.profiles import POD
from plugins.encode.source.video_track import Colour, VideoTrack
from plugins.encode.video.ladder import renditions_for
from plugins.encode.video.pictures import Scaler
from plugins.encode.video.timeline import Timeline

Clip = Callable[..., Path]
Encode = Callable[..., Any]

_CLOCK = Fraction(1, 1000)


def frame(pts: int | None, *, size: tuple[int, int] = (64, 36), pix_fmt: str = "yuv420p") -> av.VideoFrame:
    picture = av.VideoFrame(*size, pix_fmt)
    picture.pts, picture.time_base = pts, _CLOCK
    return picture


def stamps(timeline: Timeline, *source: int | None) -> list[int | None]:
    frames = [frame(pts) for pts in source]
    for picture in frames:
        timeline.stamp(picture)
    return [picture.pts for picture in frames]


def test_time_stamps_pass_through_from_zero() -> None:
    assert stamps(Timeline(1, Fraction(25), _CLOCK, shift=Fraction(5)), 5000, 5033, 5700) == [0, 33, 700]


def test_a_stamp_that_repeats_or_is_missing_goes_on_so_that_no_frame_is_lost() -> None:
    assert stamps(Timeline(1, Fraction(25), _CLOCK), 0, 0, 40, None, 120) == [0, 1, 40, 80, 120]


def test_the_first_frame_at_or_after_each_grid_point_is_a_keyframe() -> None:
    timeline = Timeline(1, Fraction(25), _CLOCK)
    pictures = [frame(pts) for pts in (0, 400, 999, 1000, 1001, 3500, 3900, 4100)]
    for picture in pictures:
        picture.pict_type = PictureType.B  # What the source's encoder chose is nothing to us.
        timeline.stamp(picture)
    keys = [picture.pts for picture in pictures if picture.pict_type == PictureType.I]
    assert keys == [0, 1000, 3500, 4100]
    assert {picture.pict_type for picture in pictures} == {PictureType.I, PictureType.NONE}


@pytest.mark.parametrize(
    ("times", "rate"),
    [([n * 40 for n in range(100)], 25), ([0, 40, 80, 120, 2000, 2040, 3900], 4)],
    ids=["constant", "variable"],
)
def test_the_frame_rate_is_the_stated_one_if_true_and_else_the_most_in_a_second(times: list[int], rate: int) -> None:
    timeline = Timeline(1, Fraction(25), _CLOCK)
    stamps(timeline, *times)
    assert timeline.rate == rate


def test_a_picture_of_the_right_size_and_form_is_not_copied() -> None:
    track = VideoTrack(0, 640, 360, 0, Fraction(25), _CLOCK, Colour(2, 2, 2))
    scaler = Scaler(renditions_for(track, POD)[0])
    same = frame(0, size=(640, 360))
    assert scaler.scale(same) is same
    assert scaler.scale(frame(0, size=(1280, 720))).width == 640


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuvj420p", "yuv444p", "yuv422p10le", "yuvj444p"])
def test_colours_stay_whatever_the_pixels_are_stored_as(clip: Clip, encode: Encode, pix_fmt: str) -> None:
    encoded = encode(clip("a.mp4", seconds=0.4, width=640, height=360, pix_fmt=pix_fmt))
    with av.open(str(encoded.folder / "360p.mp4")) as container:
        picture = next(container.decode(video=0)).to_image()  # type: ignore[no-untyped-call]
    for place, colour in {(480, 20): (230, 160, 30), (480, 300): (40, 90, 140), (80, 45): (0, 0, 0)}.items():
        assert picture.getpixel(place) == pytest.approx(colour, abs=6)
