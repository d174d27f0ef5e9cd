from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from av.video.frame import PictureType

from plugins.encode.video.still import StillFilter
from plugins.encode.video.timeline import Timeline

Encode = Callable[..., Any]
Look = Callable[[Path], Any]

_CLOCK = Fraction(1, 1000)


def sent(grey: Sequence[int], *, unchanged: Any = "identical", step: int = 100, pix_fmt: str = "yuv420p") -> list[int]:
    """Return the times of the frames that are encoded of some frames, each grey all over."""
    still, timeline = StillFilter(unchanged, 2, Fraction(1000, step)), Timeline(2, Fraction(1000, step), _CLOCK)
    times = []
    for number, level in enumerate(grey):
        frame = av.VideoFrame(64, 36, pix_fmt)
        for plane in frame.planes:
            plane.update(bytes([level]) * plane.buffer_size)
        frame.pts, frame.time_base = number * step, _CLOCK
        timeline.stamp(frame)
        times += [one.pts or 0 for one in still.put(frame)]
    return times + [one.pts or 0 for one in still.flush()]


def test_only_what_changes_each_keyframe_two_before_it_and_one_frame_a_second_are_encoded() -> None:
    assert sent([7] * 5 + [9] + [7] * 25) == [0, 500, 600, 1600, 1800, 1900, 2000, 3000]
    assert sent([7] * 29) == [0, 1000, 1800, 1900, 2000]


def test_a_change_in_any_plane_counts() -> None:
    still, timeline = StillFilter("identical", 2, Fraction(25)), Timeline(2, Fraction(25), _CLOCK)
    passed: list[av.VideoFrame] = []
    for changed in (None, 0, None, 1, None, 2):
        frame = av.VideoFrame(64, 36, "yuv420p")
        for index, plane in enumerate(frame.planes):
            samples = bytearray(plane.buffer_size)
            samples[-plane.line_size + plane.width - 1] = 5 * (index == changed)  # the last one that is seen
            plane.update(bytes(samples))
        frame.pts, frame.time_base = timeline.count.frames * 40, _CLOCK
        timeline.stamp(frame)
        passed += still.put(frame)
    assert [one.pts for one in (*passed, *still.flush())] == [0, 40, 80, 120, 160, 200]


def test_what_lies_behind_the_end_of_a_line_does_not_count() -> None:
    still, timeline = StillFilter("identical", 2, Fraction(25)), Timeline(2, Fraction(25), _CLOCK)
    passed: list[av.VideoFrame] = []
    for number in range(3):
        frame = av.VideoFrame(62, 36, "yuv420p")
        for plane in frame.planes:
            line = bytes(plane.width) + bytes([number]) * (plane.line_size - plane.width)
            plane.update(line * plane.height)
        frame.pts, frame.time_base = number * 40, _CLOCK
        timeline.stamp(frame)
        passed += still.put(frame)
    assert len([*passed, *still.flush()]) == 1


@pytest.mark.parametrize(
    ("unchanged", "times"), [("identical", [0, 100, 200, 300]), ("near", [0, 300]), ("off", [0, 100, 200, 300])]
)
def test_near_frames_are_left_out_if_asked_for_and_differences_do_not_add_up(unchanged: str, times: list[int]) -> None:
    assert sent([10, 11, 12, 13], unchanged=unchanged) == times


def test_samples_of_two_bytes_are_near_only_if_equal() -> None:
    assert sent([10, 10, 11], unchanged="near", pix_fmt="yuv420p10le") == [0, 200]


def test_a_frame_lasts_until_the_next_that_is_encoded_and_is_not_reordered_if_that_is_long() -> None:
    still, timeline = StillFilter("identical", 2, Fraction(25)), Timeline(2, Fraction(25), _CLOCK)
    passed: list[av.VideoFrame] = []
    for number, level in enumerate([1, 2, 3, 3, 3, 4, 5, 5]):
        frame = av.VideoFrame(64, 36, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes([level]) * plane.buffer_size)
        frame.pts, frame.time_base = number * 40, _CLOCK
        timeline.stamp(frame)
        passed += still.put(frame)
    kinds = [(one.pts, one.duration, PictureType(one.pict_type).name) for one in (*passed, *still.flush())]
    assert kinds == [(0, 40, "I"), (40, 40, "NONE"), (80, 120, "P"), (200, 40, "NONE"), (240, 80, "P")]


def test_two_keyframes_never_follow_each_other() -> None:
    times = sent([7] * 60)
    assert [times[times.index(keyframe) - 1] for keyframe in (2000, 4000)] == [1900, 3900]


def test_a_film_of_slides_keeps_its_length_its_pictures_and_its_segments(
    tmp_path: Path, ffmpeg: Callable[..., None], encode: Encode, look: Look, watch: Callable[[Path], Any]
) -> None:
    source = tmp_path / "slides.mkv"
    levels = "if(lt(T,2.52),40,if(lt(T,2.6),220,110))"
    picture = f"color=size=320x180:rate=25:duration=5.2,geq=lum='{levels}':cb=128:cr=128"
    ffmpeg("-f", "lavfi", "-i", picture, "-c:v", "ffv1", source)
    made = encode(source, profile="lecture")
    for film in made.films:
        seen = look(film)
        assert seen.faults == ()
        assert seen.times == pytest.approx([0, 1, 1.92, 1.96, 2, 2.52, 2.6, 3.6, 3.92, 3.96, 4, 5], abs=0.001), (
            film.name
        )
        assert seen.frames_end - seen.frames[0] == pytest.approx(5.2 if film.suffix == ".mp4" else 5.04, abs=0.001)
    shown = {round(time, 2): picture.getpixel((9, 9))[1] for time, picture in watch(made.folder / "180p.mp4")}
    assert shown[2] < 60 < shown[3.6] < 140 < shown[2.52]
    playlist = (made.folder / "180p.m3u8").read_text()
    assert sum(float(line[8:-1]) for line in playlist.splitlines() if line.startswith("#EXTINF")) == pytest.approx(5.2)
