from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import plugins.encode
from core import BadSource, Cancelled, Progress, Source
from core.testing import fake_context, fake_job

Clip = Callable[..., Path]
Encode = Callable[..., Any]
Look = Callable[[Path], Any]

VARIABLE = [0, 0.033, 0.07, 0.1, 0.5, 0.533, 1.9, 1.95, 2.0, 4.2, 4.233, 4.3, 5.1]


def assert_faithful(source: Path, films: Sequence[Path], look: Look) -> None:
    """Each film decodes without a fault, has the source's frames at the source's times, and ends when it does."""
    original = look(source)
    begin = min(original.frames[0], original.sound_start) if original.sound_end else original.frames[0]
    assert films
    for film in films:
        made = look(film)
        # A transport stream's clock begins anywhere; the first frame is what both have in common.
        zero = made.frames[0] - (original.frames[0] - begin)
        assert made.faults == (), film.name
        assert len(made.frames) == len(original.frames), film.name
        assert made.times == pytest.approx(original.times, abs=0.001), film.name
        assert made.frames_end - zero == pytest.approx(original.frames_end - begin, abs=0.05), film.name
        if original.sound_end:
            assert made.sound_end - zero == pytest.approx(original.sound_end - begin, abs=0.05), film.name


def assert_keyframes_on_grid(film: Path, interval: float, look: Look) -> None:
    """The first frame at or after each multiple of the interval is a keyframe, and no other is."""
    made = look(film)
    first = made.frames[0]
    grid = [number * interval for number in range(math.ceil((made.times[-1] + 1e-6) / interval))]
    due = {next(time for time in made.times if time >= point - 1e-6) for point in grid}
    assert sorted(key - first for key in made.keyframes) == pytest.approx(sorted(due))


@pytest.mark.long  # a test of the tests
def test_the_look_that_these_tests_take_sees_a_known_fault(lecture: Any, tmp_path: Path, look: Look) -> None:
    whole = lecture.folder / "360p.ts"
    assert look(whole).faults == ()
    damaged = tmp_path / "damaged.ts"
    data = bytearray(whole.read_bytes())
    del data[len(data) // 2 : len(data) // 2 + 500]
    damaged.write_bytes(data)
    assert look(damaged).faults


def test_every_film_of_a_lecture_is_faithful(lecture: Any, look: Look) -> None:
    assert [film.name for film in lecture.films] == ["360p.mp4", "720p.mp4", "360p.m3u8", "720p.m3u8"]
    assert_faithful(lecture.source, lecture.films, look)


def test_keyframes_are_on_each_second(lecture: Any, look: Look) -> None:
    for film in lecture.films:
        assert_keyframes_on_grid(film, 1, look)


@pytest.mark.long
def test_the_lecture_profile_has_keyframes_on_its_segments_only(clip: Clip, encode: Encode, look: Look) -> None:
    encoded = encode(clip("a.mp4", seconds=5, width=1280, height=720), profile="lecture")
    assert_faithful(encoded.source, encoded.films, look)
    for film in encoded.films:
        assert_keyframes_on_grid(film, 2, look)


def test_1080p_is_streamed_and_not_offered_as_a_file(clip: Clip, encode: Encode, look: Look) -> None:
    encoded = encode(clip("a.mp4", seconds=1.2, width=1920, height=1080), preset="superfast")
    names = [film.name for film in encoded.films]
    assert names == ["360p.mp4", "720p.mp4", "360p.m3u8", "720p.m3u8", "1080p.m3u8"]
    assert_faithful(encoded.source, encoded.films, look)


@pytest.mark.parametrize("stated", [True, False], ids=["with duration", "as a browser records"])
def test_a_variable_frame_rate_passes_through_to_mp4_and_hls(
    clip: Clip, encode: Encode, look: Look, stated: bool
) -> None:
    encoded = encode(clip("a.webm", times=VARIABLE, seconds=5.2, rate=30, state_duration=stated))
    assert_faithful(encoded.source, encoded.films, look)
    for film in encoded.films:
        assert_keyframes_on_grid(film, 1, look)


def test_a_film_of_one_slide_a_second_is_segmented_with_its_sound(clip: Clip, encode: Encode, look: Look) -> None:
    encoded = encode(clip("a.mp4", seconds=30, rate=1, width=160, height=90))
    assert_faithful(encoded.source, encoded.films, look)
    assert_keyframes_on_grid(encoded.folder / "360p.m3u8", 1, look)


def test_an_edit_list_hides_frames_from_every_film(clip: Clip, encode: Encode, look: Look) -> None:
    encoded = encode(clip("a.mp4", seconds=3, skip_frames=7))
    assert len(look(encoded.source).frames) == 75 - 7
    assert_faithful(encoded.source, encoded.films, look)


@pytest.mark.parametrize(
    ("name", "properties"),
    [
        ("a.mkv", {"start": 5}),
        ("a.ts", {}),
        ("a.mkv", {"times": [0.6 + number / 25 for number in range(50)], "seconds": 2.6}),
    ],
    ids=["starts at 5 s", "transport stream", "picture begins after the sound"],
)
def test_a_start_that_is_not_zero_becomes_zero_and_the_offset_of_the_tracks_stays(
    clip: Clip, encode: Encode, look: Look, name: str, properties: dict[str, Any]
) -> None:
    encoded = encode(clip(name, **properties))
    assert_faithful(encoded.source, encoded.films, look)
    original, mp4 = look(encoded.source), look(encoded.folder / "360p.mp4")
    assert mp4.frames[0] == pytest.approx(max(original.frames[0] - original.sound_start, 0), abs=0.03)


def test_sound_that_begins_late_is_preceded_by_silence(clip: Clip, encode: Encode, look: Look) -> None:
    encoded = encode(clip("a.mkv", audio_delay=0.7, seconds=3))
    assert_faithful(encoded.source, encoded.films, look)
    assert look(encoded.folder / "360p.mp4").sound_start == pytest.approx(0, abs=0.001)


def test_progress_goes_on_to_the_end_and_never_back(clip: Clip, tmp_path: Path) -> None:
    reports: list[Progress] = []
    source = clip("a.mp4", seconds=3)
    context = fake_context(tmp_path / "job", source, report=reports.append)
    plugins.encode.plugin.encode(fake_job(source), Source(path=source), {"preset": "ultrafast"}, context)
    assert all(before.done <= after.done for before, after in itertools.pairwise(reports))
    assert reports[-1].fraction == 1


def test_a_cancel_ends_every_thread_at_once(clip: Clip, tmp_path: Path) -> None:
    source = clip("lecture.mp4", seconds=12, width=1280, height=720)
    begun = time.monotonic()
    context = fake_context(tmp_path / "job", source, is_cancelled=lambda: time.monotonic() > begun + 1)
    with pytest.raises(Cancelled):
        plugins.encode.plugin.encode(fake_job(source), Source(path=source), {"preset": "slower"}, context)
    assert time.monotonic() - begun < 4
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("encode ")]


def test_damage_in_the_middle_is_noted_and_the_rest_encoded(
    clip: Clip, encode: Encode, look: Look, tmp_path: Path
) -> None:
    data = bytearray(clip("a.mkv", seconds=4, keyframe_every=10).read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(3000)
    source = tmp_path / "damaged.mkv"
    source.write_bytes(data)
    encoded = encode(source)
    assert any("damaged" in note for note in encoded.output.notes)
    assert look(encoded.folder / "360p.mp4").frames_end == pytest.approx(4, abs=0.1)


@pytest.mark.parametrize("name", ["a.mkv", "a.avi", "a.wav"])
def test_a_file_whose_end_is_missing_is_refused_with_the_second_where_it_ends(
    clip: Clip, encode: Encode, tmp_path: Path, name: str
) -> None:
    data = clip(name, seconds=4).read_bytes()
    source = tmp_path / name
    source.write_bytes(data[: len(data) // 2])
    with pytest.raises(
        BadSource, match=r"was cut off: it ends at second [12]\.\d of (3\.9|4\.[01]): upload it again, whole"
    ):
        encode(source)


def test_a_loss_that_nobody_would_notice_is_only_noted(clip: Clip, encode: Encode, tmp_path: Path) -> None:
    data = clip("a.mkv", seconds=4).read_bytes()
    source = tmp_path / "a.mkv"
    source.write_bytes(data[: len(data) * 95 // 100])
    assert any(note.startswith("the source was cut off: its last 0.") for note in encode(source).output.notes)
