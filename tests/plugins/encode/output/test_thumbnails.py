from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from core.testing import frame_number
from plugins.encode.profiles import POD

Clip = Callable[..., Path]
Encode = Callable[..., Any]

_CUE = re.compile(
    r"(\d+):(\d\d):(\d\d\.\d{3}) --> (\d+):(\d\d):(\d\d\.\d{3})\noverview\.png#xywh=(\d+),(\d+),(\d+),(\d+)"
)


def read_index(path: Path) -> list[tuple[float, float, tuple[int, int, int, int]]]:
    """Return each tile's start and end in seconds and its place in the sprite."""
    text = path.read_text()
    assert text.startswith("WEBVTT\n\n")
    cues = []
    for match in _CUE.finditer(text):
        clocks = [float(group) for group in match.groups()[:6]]
        start, end = (hours * 3600 + minutes * 60 + seconds for hours, minutes, seconds in (clocks[:3], clocks[3:]))
        x, y, width, height = (int(group) for group in match.groups()[6:])
        cues.append((start, end, (x, y, x + width, y + height)))
    return cues


@pytest.mark.parametrize(
    ("properties", "tiles", "tile"),
    [
        pytest.param({"seconds": 12, "width": 1280, "height": 720}, 10, (160, 90), marks=pytest.mark.long),
        pytest.param({"seconds": 101, "rate": 2, "width": 160, "height": 90}, 100, (160, 90), marks=pytest.mark.long),
        ({"seconds": 10, "rate": 10, "width": 180, "height": 180}, 10, (90, 90)),
    ],
    ids=["720p", "longer than 100 s", "square, exactly 10 s"],
)
def test_sprite_and_index_agree_to_the_pixel_and_the_second(
    clip: Clip, encode: Encode, properties: dict[str, Any], tiles: int, tile: tuple[int, int]
) -> None:
    name = "lecture.mp4" if properties["seconds"] == 12 else "a.mp4"
    encoded = encode(clip(name, **properties))
    rate, frames = properties.get("rate", 25), round(properties["seconds"] * properties.get("rate", 25))
    sprite = Image.open(encoded.folder / "overview.png")
    cues = read_index(encoded.folder / "overview.vtt")

    assert sprite.size == (tiles * tile[0], tile[1])
    assert [place for _, _, place in cues] == [(n * tile[0], 0, (n + 1) * tile[0], tile[1]) for n in range(tiles)]
    assert [start for start, _, _ in cues] == [0.0] + [end for _, end, _ in cues[:-1]]
    assert cues[-1][1] == pytest.approx(properties["seconds"], abs=0.05)
    for start, end, place in cues:
        shown = min(int((start + end) / 2 * rate + 1e-3), frames - 1)
        number = frame_number(sprite.crop(place))
        assert abs(number - shown) <= 1
        assert start * rate - 1 <= number < end * rate


def test_thumbnails_show_the_middle_of_each_third(lecture: Any) -> None:
    numbers = []
    for path in lecture.files("thumbnail"):
        with Image.open(path) as image:
            assert image.size == (640, 360)
            numbers.append(frame_number(image))
    assert numbers == pytest.approx([50, 150, 250], abs=1)


def test_more_thumbnails_may_be_asked_for(clip: Clip, encode: Encode) -> None:
    names = [path.name for path in encode(clip("a.mp4", seconds=2), thumbnails=5).files("thumbnail")]
    assert names == [f"thumbnail_000{number}.png" for number in range(1, 6)]


def test_a_film_of_one_frame_still_has_its_thumbnails(clip: Clip, encode: Encode) -> None:
    encoded = encode(clip("a.mp4", seconds=0.04, audio=False))
    assert len(encoded.files("thumbnail")) == 3


def test_a_slide_that_stays_is_what_the_tiles_of_its_time_show(clip: Clip, encode: Encode) -> None:
    slides = [0, 4, 9]
    encoded = encode(clip("a.mkv", times=slides, seconds=12, rate=1))
    sprite = Image.open(encoded.folder / "overview.png")
    for start, end, place in read_index(encoded.folder / "overview.vtt"):
        middle = (start + end) / 2
        assert frame_number(sprite.crop(place)) == sum(slide <= middle for slide in slides) - 1


def test_a_turned_film_is_upright_everywhere(clip: Clip, encode: Encode) -> None:
    encoded = encode(clip("a.mp4", seconds=2, width=640, height=360, rotation=90))
    for number, path in zip((8, 25, 41), encoded.files("thumbnail"), strict=True):
        with Image.open(path) as image:
            assert image.size == (202, 360)
            assert frame_number(image, turned=90) == pytest.approx(number, abs=1)


@pytest.mark.long
def test_a_profile_chooses_the_storyboards_geometry_and_the_pictures_kind(
    clip: Callable[..., Path], encode: Callable[..., Any]
) -> None:
    storyboard = {"height": 60, "tiles": 7, "columns": 3}
    profile = POD.model_copy(update={"images": "webp"}).model_dump(mode="json") | {"storyboard": storyboard}
    made = encode(clip("board.mp4", seconds=14, width=320, height=180), profile=profile, thumbnails=4)
    with Image.open(made.folder / "overview.webp") as sheet:
        assert (sheet.format, sheet.size) == ("WEBP", (3 * 106, 3 * 60))
        cues = re.findall(r"overview\.webp#xywh=(\d+),(\d+),(\d+),(\d+)", (made.folder / "overview.vtt").read_text())
        boxes = [tuple(map(int, cue)) for cue in cues]
        assert boxes == [(tile % 3 * 106, tile // 3 * 60, 106, 60) for tile in range(7)]
        numbers = [frame_number(sheet.crop((x, y, x + width, y + height))) for x, y, width, height in boxes]
    assert numbers == pytest.approx([25 + 50 * tile for tile in range(7)], abs=1)
    names = [path.name for path in made.files("thumbnail")]
    assert names == ["thumbnail_0001.webp", "thumbnail_0002.webp", "thumbnail_0003.webp", "thumbnail_0004.webp"]
    assert {artifact.media_type for artifact in made.artifacts("thumbnail")} == {"image/webp"}
