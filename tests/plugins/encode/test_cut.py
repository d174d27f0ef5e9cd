"""A cut is the asked frames to the frame, and goes there instead of decoding what it leaves out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pydantic import ValidationError

import plugins.encode
from core import BadSource, Source
from core.testing import Subtitles, fake_context, fake_job, frame_number
from plugins.encode.options import EncodeOptions
from plugins.encode.video.pictures import Pictures

Clip = Callable[..., Path]
Encode = Callable[..., Any]


Watch = Callable[[Path], list[tuple[float, Image.Image]]]


def numbers(shown: list[tuple[float, Image.Image]]) -> list[int]:
    """Read the number on each picture of a film."""
    return [frame_number(image) for _, image in shown]


@pytest.mark.parametrize(
    ("name", "first"),
    # A transport stream has no edit list: its sound begins 21 ms before the picture, and so does the film.
    [
        ("long.mp4", 301),
        *(
            pytest.param(name, first, marks=pytest.mark.long)
            for name, first in (("long.mkv", 301), ("long.ts", 300), ("long.webm", 301))
        ),
    ],
)
def test_first_and_last_frame_are_the_asked_ones(
    clip: Clip, encode: Encode, look: Any, watch: Watch, name: str, first: int
) -> None:
    """In a film whose keyframes are ten seconds apart."""
    source = clip(name, seconds=24, keyframe_every=250)
    cut = encode(source, cut_start=12.04, cut_end=14.08)

    for film in cut.films:
        assert numbers(watch(film)) == list(range(first, 352)), film.name
        made = look(film)
        assert made.faults == ()
        assert made.times[-1] == pytest.approx(2.0, abs=0.025)
    assert cut.output.facts["duration"] == pytest.approx(2.04, abs=0.003)
    (sound,) = cut.files("audio")
    assert look(sound).sound_end - look(sound).sound_start == pytest.approx(2.04, abs=0.06)


def test_a_cut_between_two_frames_begins_with_the_one_that_is_shown_then(
    clip: Clip, encode: Encode, watch: Watch
) -> None:
    slides = clip("slides.mkv", times=[0, 10, 20, 30], seconds=40)
    cut = encode(slides, cut_start=14, cut_end=25)
    assert [(time, frame_number(image)) for time, image in watch(cut.files("rendition")[0])] == [(0, 1), (6, 2)]
    assert cut.output.facts["duration"] == 11


def test_a_film_of_one_picture_can_be_cut(clip: Clip, encode: Encode, watch: Watch) -> None:
    film = encode(clip("still.mkv", times=[0], seconds=20), cut_start=5, cut_end=8).files("rendition")[0]
    assert numbers(watch(film)) == [0]


def test_sound_and_subtitles_are_cut_with_the_picture(clip: Clip, encode: Encode) -> None:
    cues = [(1.0, 2.0, "before"), (3.5, 5.0, "across"), (6.0, 7.0, "within"), (11.0, 12.0, "behind")]
    source = clip("subtitled.mkv", seconds=14, subtitles=(Subtitles("fra", cues),))
    cut = encode(source, cut_start=4, cut_end=10)
    text = cut.files("subtitle")[0].read_text()
    assert "before" not in text
    assert "behind" not in text
    assert "00:00:00.000 --> 00:00:01.000\nacross" in text
    assert "00:00:02.000 --> 00:00:03.000\nwithin" in text


@pytest.mark.parametrize("name", ["a.mp3", "a.m4a", "a.wav", "a.ogg"])
def test_sound_alone_is_cut(clip: Clip, encode: Encode, look: Any, name: str) -> None:
    cut = encode(clip(name, seconds=8), cut_start=2.5, cut_end=6)
    assert cut.output.facts["duration"] == pytest.approx(3.5, abs=0.001)


def test_what_is_left_out_is_not_decoded(clip: Clip, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    taken = 0
    take = Pictures.take

    def count(pictures: Pictures, frames: Sequence[Any]) -> None:
        nonlocal taken
        taken += len(frames)
        take(pictures, frames)

    monkeypatch.setattr(Pictures, "take", count)
    source = clip("long.mp4", seconds=24, keyframe_every=50)
    job, context = fake_job(source), fake_context(tmp_path / "job", source)
    plugins.encode.plugin.encode(
        job, Source(path=source), {"preset": "veryfast", "cut_start": 20, "cut_end": 21}, context
    )
    assert taken < 120


def test_a_cut_beyond_the_end_is_refused(clip: Clip, encode: Encode) -> None:
    with pytest.raises(BadSource, match="begins at second 30"):
        encode(clip("a.mp4"), cut_start=30)
    with pytest.raises(ValidationError, match="before it begins"):
        EncodeOptions(cut_start=5, cut_end=3)


def test_a_cut_end_beyond_the_end_is_the_end(clip: Clip, encode: Encode, watch: Watch) -> None:
    cut = encode(clip("a.mp4"), cut_start=1, cut_end=100)
    assert numbers(watch(cut.films[0])) == list(range(25, 50))
