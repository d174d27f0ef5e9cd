"""Credits and watermark, read off the pixels and the sound of what was made."""

from __future__ import annotations

import array
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image, ImageDraw
from pydantic import ValidationError

from core import BadSource
from core.testing import Subtitles, frame_number
from plugins.encode.options import EncodeOptions

Clip = Callable[..., Path]
Encode = Callable[..., Any]
Watch = Callable[[Path], list[tuple[float, Image.Image]]]
Colour = tuple[int, ...]

#: What the clips' pictures are filled with, and what the logo is made of.
BACKGROUND = (40, 90, 140)
RED = (220, 30, 30)
BLACK = (0, 0, 0)

#: Seconds of the film's parts in most tests here.
OPENING, LECTURE, ENDING = 2.0, 4.0, 1.6


def colour_at(image: Image.Image, x: float, y: float) -> Colour:
    """Return the mean colour around a place, given in parts of the picture's size."""
    centre = round(x * image.width), round(y * image.height)
    box = (centre[0] - 2, centre[1] - 2, centre[0] + 3, centre[1] + 3)
    pixels = [image.getpixel((column, row)) for column in range(box[0], box[2]) for row in range(box[1], box[3])]
    return tuple(round(sum(pixel[band] for pixel in pixels) / len(pixels)) for band in range(3))  # type: ignore[index, misc]


def is_near(one: Colour, other: Colour) -> bool:
    return all(abs(a - b) <= 6 for a, b in zip(one, other, strict=True))


def loudness(path: Path, start: float, end: float) -> int:
    """Return the largest sample between two times of a film's sound."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("s16", "mono", 8_000)
        samples = array.array("h")
        for frame in container.decode(audio=0):
            for ready in resampler.resample(frame):
                samples.frombytes(bytes(ready.planes[0])[: ready.samples * 2])
    return max((abs(value) for value in samples[round(start * 8_000) : round(end * 8_000)]), default=0)


@pytest.fixture(scope="module")
def logo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A red disc of 200x200 whose corners are transparent."""
    image = Image.new("RGBA", (200, 200), (0, 0, 0, 0))
    ImageDraw.Draw(image).ellipse((0, 0, 199, 199), fill=(*RED, 255))
    path = tmp_path_factory.mktemp("logo") / "logo, ours.png"
    image.save(path)
    return path


@pytest.fixture(scope="module")
def credit_films(clip: Clip) -> dict[str, str]:
    """Two films of other sizes, rates and kinds; the first has no sound."""
    opening = clip("opening.mp4", seconds=OPENING, width=400, height=400, rate=30, audio=False)
    ending = clip("ending.webm", seconds=ENDING, width=800, height=200, rate=20)
    return {"opening": str(opening), "ending": str(ending)}


@pytest.mark.parametrize(
    ("position", "x", "y"),
    # 10 % of the height, 5 % of the height from the edges: on 640x360, 36 and 18 pixels.
    [
        ("top_left", 36 / 640, 0.1),
        ("top_right", 1 - 36 / 640, 0.1),
        ("bottom_left", 36 / 640, 0.9),
        ("bottom_right", 1 - 36 / 640, 0.9),
    ],
)
@pytest.mark.parametrize("opacity", [100, 40])
def test_a_watermark_lies_in_its_corner(
    clip: Clip, encode: Encode, watch: Watch, logo: Path, position: str, x: float, y: float, opacity: int
) -> None:
    source = clip("plain.mp4", seconds=0.6, width=640, height=360)
    watermark = {"path": str(logo), "position": position, "opacity": opacity}
    film = encode(source, dressing={"watermark": watermark}, crf=4).films[0]
    (_, bare), (_, image) = watch(source)[5], watch(film)[5]
    below = colour_at(bare, x, y)
    mixed = tuple(round(a + (b - a) * opacity / 100) for a, b in zip(below, RED, strict=True))

    assert is_near(colour_at(image, x, y), mixed)
    for across, down in ((14, 0), (0, 14), (-14, 0), (0, -14)):
        place = x + across / 640, y + down / 360
        under = colour_at(bare, *place)
        mixed = tuple(round(a + (b - a) * opacity / 100) for a, b in zip(under, RED, strict=True))
        assert is_near(colour_at(image, *place), mixed), "the disc has a radius of 18 pixels"
        outside = x + across * 22 / 14 / 640, y + down * 22 / 14 / 360
        assert is_near(colour_at(image, *outside), colour_at(bare, *outside)), "and nothing lies beside it"


@pytest.mark.parametrize(("name", "sound"), [("lecture.mp4", True), ("lecture.webm", False)])
def test_credits_stand_before_and_behind(
    clip: Clip, encode: Encode, watch: Watch, look: Any, credit_films: dict[str, str], name: str, sound: bool
) -> None:
    source = clip(name, seconds=LECTURE, width=640, height=360, audio=sound)
    dressed = encode(source, dressing=credit_films)
    total = OPENING + LECTURE + ENDING

    assert dressed.output.facts["duration"] == pytest.approx(total, abs=0.05)
    for film in dressed.films:
        made = look(film)
        assert (made.faults, len(made.frames)) == ((), 60 + 100 + 32), film.name
        assert made.frames_end - made.frames[0] == pytest.approx(total, abs=0.05)
        assert made.sound_end - made.frames[0] == pytest.approx(total, abs=0.05)
    shown = watch(dressed.films[0])
    times = {round(time, 2): image for time, image in shown}
    opening, lecture, ending = shown[30][1], times[round(OPENING + 1, 2)], shown[-3][1]
    # A square film in a frame of 16:9 has black beside it, one of 4:1 above and below.
    assert is_near(colour_at(opening, 0.1, 0.5), BLACK)
    assert is_near(colour_at(opening, 0.6, 0.05), BACKGROUND)
    assert is_near(colour_at(ending, 0.6, 0.1), BLACK)
    assert frame_number(opening.crop((140, 0, 500, 360))) == 30
    assert frame_number(lecture) == 25
    assert frame_number(ending.crop((0, 100, 640, 260))) == 29
    heard = [loudness(dressed.films[0], *span) for span in ((0.2, 1.8), (2.2, 5.8), (6.2, 7.4))]
    assert [level > 1000 for level in heard] == [False, sound, True]


def test_dressing_and_cut_together(clip: Clip, encode: Encode, watch: Watch, logo: Path, credit_films: Any) -> None:
    """The cut is of the lecture, not of the credits; subtitles, sprite and thumbnails are the film's."""
    cues = [(5.0, 6.0, "kept"), (9.0, 10.0, "cut off")]
    source = clip("cut.mkv", seconds=12, width=640, height=360, subtitles=(Subtitles("fra", cues),))
    dressing = {**credit_films, "watermark": {"path": str(logo)}}
    film = encode(source, dressing=dressing, cut_start=4, cut_end=8)
    total = OPENING + 4 + ENDING

    shown = watch(film.films[0])
    lecture = [(time, image) for time, image in shown if OPENING - 0.01 <= time < OPENING + 4 - 0.01]
    assert [frame_number(image) for _, image in lecture] == list(range(100, 200))
    assert lecture[0][0] == pytest.approx(OPENING, abs=0.002)
    marked = [is_near(colour_at(image, 1 - 36 / 640, 0.1), RED) for _, image in (shown[10], lecture[50], shown[-5])]
    assert marked == [False, True, False]
    assert "00:00:03.000 --> 00:00:04.000\nkept" in (text := film.files("subtitle")[0].read_text())
    assert "cut off" not in text
    assert film.output.facts["duration"] == pytest.approx(total, abs=0.05)


def test_sprite_and_manifest_are_of_the_dressed_film(clip: Clip, encode: Encode, credit_films: Any) -> None:
    source = clip("long.mp4", seconds=8, width=640, height=360)
    dressed = encode(source, dressing=credit_films)
    info = json.loads((dressed.folder / "info_video.json").read_text())
    assert info["duration"] == int(OPENING + 8 + ENDING)
    assert info["json_dressing"]["opening"] == credit_films["opening"]
    assert "overview.vtt" in info["list_overview_files"]["1"], "eleven seconds, though the lecture has only eight"
    last_cue = (dressed.folder / "overview.vtt").read_text().strip().splitlines()[-2]
    assert "--> 00:00:11.60" in last_cue
    first_tile = Image.open(dressed.folder / "overview.png").crop((0, 0, 160, 90)).convert("RGB")
    assert is_near(colour_at(first_tile, 0.1, 0.5), BLACK)


def test_sound_of_credits_alone_leaves_the_lecture_silent(clip: Clip, encode: Encode, look: Any) -> None:
    credit = clip("spoken.mp4", seconds=1)
    silent = clip("silent.mp4", seconds=3, audio=False)
    dressed = encode(silent, dressing={"opening": str(credit)})
    assert [loudness(dressed.films[0], *span) > 1000 for span in ((0.2, 0.8), (1.2, 3.8))] == [True, False]
    assert look(dressed.films[0]).sound_end == pytest.approx(4, abs=0.05)
    assert dressed.output.facts["has_audio"]


def test_a_recording_of_sound_alone_is_left_undressed(clip: Clip, encode: Encode, logo: Path) -> None:
    plain = encode(clip("a.mp3"), dressing={"opening": str(clip("o.mp4")), "watermark": {"path": str(logo)}})
    assert plain.output.notes == (
        "the opening was left out: the lecture has no pictures",
        "the watermark was left out: the lecture has no pictures",
    )


def test_what_cannot_be_used_is_named(clip: Clip, encode: Encode, tmp_path: Path) -> None:
    text = tmp_path / "logo.png"
    text.write_text("no picture")
    with pytest.raises(BadSource, match=r"logo\.png can't be read as a picture"):
        encode(clip("a.mp4"), dressing={"watermark": {"path": str(text)}})
    with pytest.raises(BadSource, match=r"credits\.mp4 does not exist"):
        encode(clip("a.mp4"), dressing={"opening": str(tmp_path / "credits.mp4")})
    with pytest.raises(ValidationError, match="not an absolute path"):
        EncodeOptions.model_validate({"dressing": {"opening": "credits.mp4"}})
    with pytest.raises(ValidationError, match="less than or equal to 100"):
        EncodeOptions.model_validate({"dressing": {"watermark": {"path": "/logo.png", "opacity": 101}}})
