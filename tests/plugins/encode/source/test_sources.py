"""The table in docs/sources.md, row by row."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from core.testing import Subtitles

TABLE = Path(__file__).parents[4] / "docs/sources.md"

_CUE = [(0.2, 1.0, "Bonjour"), (1.0, 1.8, "à tous")]
_LATE_PICTURE = [0.6 + number / 25 for number in range(35)]
_VARIABLE = [0, 0.033, 0.07, 0.1, 0.5, 0.533, 1.2, 1.25, 1.9]

#: How each source of the table is made: a file's name and the properties of its clip.
SOURCES: dict[str, tuple[str, dict[str, Any]]] = {
    "1080 lines": ("a.mp4", {"seconds": 0.6, "width": 1920, "height": 1080}),
    "720 lines, 12 s": ("lecture.mp4", {"seconds": 12, "width": 1280, "height": 720}),
    "240 lines": ("a.mp4", {"width": 426, "height": 240}),
    "longer than 100 s": ("a.mp4", {"rate": 2, "seconds": 101, "width": 160, "height": 90}),
    "no sound": ("a.mp4", {"audio": False}),
    "sound only": ("a.wav", {}),
    "sound with a cover, MP3": ("a.mp3", {"cover": True}),
    "sound with a cover, M4A": ("a.m4a", {"cover": True}),
    "film with a cover": ("a.mp4", {"cover": True}),
    "turned by 90° (a phone)": ("a.mp4", {"rotation": 90, "width": 640, "height": 360}),
    "odd size, 321x243": ("a.mp4", {"width": 321, "height": 243}),
    "variable frame rate": ("a.mkv", {"times": _VARIABLE}),
    "a browser's recording, without duration": ("a.webm", {"times": _VARIABLE, "state_duration": False}),
    "starts at 5 s": ("a.mkv", {"start": 5}),
    "transport stream": ("a.ts", {}),
    "sound begins 0.7 s late": ("a.mkv", {"audio_delay": 0.7}),
    "picture begins 0.6 s late": ("a.mkv", {"times": _LATE_PICTURE}),
    "edit list that hides 7 frames": ("a.mp4", {"skip_frames": 7}),
    "mono, 44.1 kHz": ("a.mp4", {"channels": 1, "sample_rate": 44_100}),
    "AVI": ("a.avi", {}),
    "text subtitles, two of one language": (
        "a.mkv",
        {"subtitles": (Subtitles("fra", _CUE), Subtitles("fra", _CUE), Subtitles("eng", _CUE))},
    ),
    "text subtitles in an MP4": ("a.mp4", {"subtitles": (Subtitles("fra", _CUE, "mov_text"),)}),
    "subtitles made of pictures": ("a.mkv", {"subtitles": (Subtitles("fra", _CUE, "hdmv_pgs_subtitle"),)}),
}


@dataclass(frozen=True)
class Row:
    source: str
    profile: str
    mp4: str
    hls: str
    sound: str
    thumbnails: str
    sprite: str
    subtitles: str


def read_table() -> list[Row]:
    table = TABLE.read_text(encoding="utf-8").split("| Subtitles |\n")[1].split("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[1:]]
    return [Row(*cells) for cells in rows]


def test_each_source_of_the_table_can_be_made_and_each_that_can_is_in_the_table() -> None:
    assert {row.source for row in read_table()} == set(SOURCES)


def test_each_row_about_recorders_names_tests_that_exist() -> None:
    rows = TABLE.read_text(encoding="utf-8").split("| Test |\n")[1].split("\n\n")[0].splitlines()[1:]
    code = "".join(path.read_text() for path in Path(__file__).parents[1].rglob("test_*.py"))
    for row in rows:
        tests = re.findall(r"`(test_\w+)`", row)
        assert tests
        assert all(f"def {test}(" in code for test in tests), row


def _param(row: Row) -> Any:
    """Leave what costs most, and what the other profile shows too, to the long tests."""
    is_long = row.source == "720 lines, 12 s" or (row.source == "longer than 100 s" and row.profile == "pod")
    return pytest.param(row, id=f"{row.source} ({row.profile})", marks=[pytest.mark.long] if is_long else [])


@pytest.mark.parametrize("row", list(map(_param, read_table())))
def test_what_comes_out_is_what_the_table_says(
    row: Row, clip: Callable[..., Path], encode: Callable[..., Any], look: Callable[[Path], Any]
) -> None:
    name, properties = SOURCES[row.source]
    encoded = encode(clip(name, **properties), profile=row.profile)

    assert what_came_out(encoded, row) == row
    assert {path.name for path in encoded.folder.iterdir()} == {a.path for a in encoded.output.artifacts}
    assert (encoded.folder / "livestream.m3u8").exists() == bool(row.hls)
    original = look(encoded.source)
    for film in encoded.films:
        made = look(film)
        assert (made.faults, len(made.frames)) == ((), len(original.frames)), film.name
    for sound in encoded.files("audio"):
        assert look(sound).faults == ()


def what_came_out(encoded: Any, row: Row) -> Row:
    thumbnails = encoded.files("thumbnail")
    covers = " of the cover" if thumbnails and all(map(shows_the_cover, thumbnails)) else ""
    tiles = (encoded.folder / "overview.vtt").read_text().count("-->") if encoded.files("sprite") else 0
    return Row(
        row.source,
        row.profile,
        mp4=" ".join(path.stem for path in encoded.files("rendition")),
        hls=" ".join(path.stem for path in encoded.files("playlist")),
        sound=" ".join(path.suffix[1:] for path in encoded.files("audio")),
        thumbnails=f"{len(thumbnails)}{covers}",
        sprite=f"{tiles} tiles" if tiles else "no",
        subtitles=" ".join(path.stem.removeprefix("subtitle_") for path in encoded.files("subtitle")),
    )


def shows_the_cover(path: Path) -> bool:
    with Image.open(path) as image:
        middle = image.convert("RGB").getpixel((image.width // 2, image.height // 2))
    assert isinstance(middle, tuple)
    return middle[0] > 150 and middle[1] < 60 and middle[2] < 60
