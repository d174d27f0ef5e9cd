"""The kinds of recordings that universities upload, each read off the pixels and the sound of what was made."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image, ImageDraw

from core.testing import frame_number, make_clip

Clip = Callable[..., Path]
Encode = Callable[..., Any]
Watch = Callable[[Path], list[tuple[float, Image.Image]]]
Ffmpeg = Callable[..., None]
Colour = tuple[int, ...]

PATCHES: tuple[tuple[int, int, int], ...] = (
    (16, 16, 16),
    (128, 128, 128),
    (180, 180, 180),
    (40, 90, 140),
    (170, 40, 40),
    (20, 140, 60),
    (150, 120, 30),
    (90, 40, 120),
)

#: At the edges of what a BT.709 screen can show.
SATURATED: tuple[tuple[int, int, int], ...] = (
    (180, 0, 0),
    (0, 180, 0),
    (0, 0, 180),
    (180, 180, 0),
    (0, 180, 180),
    (180, 0, 180),
    (0, 90, 0),
    (90, 0, 0),
)


def near(one: Sequence[int], other: Sequence[int], most: int = 6) -> bool:
    return all(abs(a - b) <= most for a, b in zip(one, other, strict=True))


def patches_of(image: Image.Image) -> list[Colour]:
    """Return the colours in the middle of eight columns."""
    pixels = (image.getpixel((round((column + 0.5) * image.width / 8), image.height // 2)) for column in range(8))
    return [pixel for pixel in pixels if isinstance(pixel, tuple)]


def draw_patches(width: int = 640, height: int = 360) -> Image.Image:
    image = Image.new("RGB", (width, height))
    draw = ImageDraw.Draw(image)
    for column, colour in enumerate(PATCHES):
        draw.rectangle((column * width // 8, 0, (column + 1) * width // 8 - 1, height), fill=colour)
    return image


# Ten bits, high dynamic range


def pq_signal(light: float) -> float:
    """ITU-R BT.2100, in candelas a square metre."""
    power = math.pow(light / 10_000, 0.1593017578125)
    return math.pow((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power), 78.84375)


def hlg_signals(light: Sequence[float]) -> list[float]:
    """ITU-R BT.2100 for a screen of 1000 candelas: the inverse of the system's gamma, then the curve of the camera."""
    brightness = 0.2627 * light[0] + 0.678 * light[1] + 0.0593 * light[2]
    scene = [value / 1000 * (brightness / 1000) ** (1 / 1.2 - 1) if brightness else 0.0 for value in light]
    return [
        math.sqrt(3 * value) if value <= 1 / 12 else 0.17883277 * math.log(12 * value - 0.28466892) + 0.55991073
        for value in scene
    ]


def wide_signal(colour: Sequence[int], transfer: str) -> tuple[int, int, int]:
    """Return the 10-bit Y, Cb and Cr of a colour of a BT.709 screen whose white has 203 candelas (BT.2408)."""
    red, green, blue = (203 * (value / 255) ** 2.4 for value in colour)
    light = (
        0.6274 * red + 0.3293 * green + 0.0433 * blue,
        0.0691 * red + 0.9195 * green + 0.0114 * blue,
        0.0164 * red + 0.0880 * green + 0.8956 * blue,
    )
    signal = hlg_signals(light) if transfer == "arib-std-b67" else [pq_signal(value) for value in light]
    luma = 0.2627 * signal[0] + 0.678 * signal[1] + 0.0593 * signal[2]
    return (
        round(64 + 876 * luma),
        round(512 + 896 * (signal[2] - luma) / 1.8814),
        round(512 + 896 * (signal[0] - luma) / 1.4746),
    )


def make_wide(path: Path, transfer: str, patches: Sequence[Sequence[int]] = PATCHES) -> Path:
    """Write patches as a phone does that films in HDR: HEVC, 10 bits, BT.2020."""
    width, height = 640, 360
    columns = [wide_signal(colour, transfer) for colour in patches]
    colour = f"colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc:range=limited:log-level=none"
    with av.open(str(path), "w") as container:
        options = {"preset": "ultrafast", "crf": "4", "x265-params": colour}
        stream = container.add_stream("libx265", 25, options=options, width=width, height=height, pix_fmt="yuv420p10le")
        for number in range(10):
            frame = av.VideoFrame(width, height, "yuv420p10le")
            for band, plane in enumerate(frame.planes):
                row = b"".join(column[band].to_bytes(2, "little") * (plane.width // 8) for column in columns)
                plane.update((row + bytes(plane.line_size - len(row))) * plane.height)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("transfer", ["smpte2084", "arib-std-b67"])
def test_high_dynamic_range_becomes_what_every_screen_shows(
    tmp_path: Path, encode: Encode, watch: Watch, look: Any, transfer: str
) -> None:
    """Below the knee (92 cd/m², 183 of 255) a colour that was put into PQ or HLG by the book comes back as it was."""
    made = encode(make_wide(tmp_path / "phone.mp4", transfer), crf=4)
    for film in made.films:
        assert look(film).faults == ()
        image = watch(film)[5][1]
        pairs = list(zip(patches_of(image), PATCHES, strict=True))
        assert all(near(*pair) for pair in pairs), (film.name, pairs)
    with av.open(str(made.films[0])) as container:
        context = container.streams.video[0].codec_context
        assert (context.pix_fmt, context.color_primaries, context.color_trc, context.colorspace) == ("yuv420p", 1, 1, 1)


@pytest.mark.parametrize(("transfer", "most"), [("smpte2084", 22), ("arib-std-b67", 10)])
def test_saturated_colours_of_high_dynamic_range_get_no_veil(
    tmp_path: Path, encode: Encode, watch: Watch, transfer: str, most: int
) -> None:
    """One step of the ten bits that store a saturated colour is worth so much of a primary without light."""
    made = encode(make_wide(tmp_path / "phone.mp4", transfer, SATURATED), crf=4)
    pairs = list(zip(patches_of(watch(made.films[0])[5][1]), SATURATED, strict=True))
    assert all(near(*pair, most=most) for pair in pairs), pairs


def test_ten_bits_become_eight(tmp_path: Path, encode: Encode, watch: Watch, ffmpeg: Ffmpeg) -> None:
    draw_patches().save(tmp_path / "patches.png")
    film = tmp_path / "ten.mkv"
    matrix = ["-vf", "scale=out_color_matrix=bt709,format=yuv420p10le", "-colorspace", "bt709"]
    ffmpeg("-loop", "1", "-i", tmp_path / "patches.png", "-t", "0.4", *matrix, "-c:v", "libx264", "-crf", "4", film)
    made = encode(film, crf=4)
    with av.open(str(made.films[0])) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"
    pairs = list(zip(patches_of(watch(made.films[0])[3][1]), PATCHES, strict=True))
    assert all(near(*pair) for pair in pairs), pairs


# Fields


def combing(image: Image.Image) -> float:
    """Return how much lines differ from those beside them, over lines two apart; 1 where there are no fields."""
    grey = image.crop((200, 100, 360, 300)).convert("L")
    pixels = grey.tobytes()
    rows = [pixels[y * grey.width : (y + 1) * grey.width] for y in range(grey.height)]

    def difference(step: int) -> int:
        pairs = zip(rows, rows[step:], strict=False)
        return sum(abs(a - b) for one, other in pairs for a, b in zip(one, other, strict=True))

    return difference(1) / (difference(2) + 1)


@pytest.fixture(scope="module")
def interlaced(tmp_path_factory: pytest.TempPathFactory, ffmpeg: Ffmpeg) -> Callable[[str], Path]:
    """Make a film of 576 lines in which a striped card moves by 8 pixels a field."""
    folder = tmp_path_factory.mktemp("fields")

    def make(kind: str) -> Path:
        path = folder / f"{kind}.mkv"
        stripes = "geq=lum='if(mod(floor((X+8*N)/40),2),200,50)':cb=128:cr=128"
        fields = f"{stripes},format=yuv420p,interlace=scan={'bff' if kind == 'bff' else 'tff'}:lowpass=off"
        codec = {
            "flagged": ["-c:v", "mpeg2video", "-q:v", "2", "-flags", "+ilme+ildct", "-top", "1"],
            "tff": ["-vf", f"{fields},setfield=prog", "-c:v", "libx264", "-crf", "10"],
            "bff": ["-vf", f"{fields},setfield=prog", "-c:v", "libx264", "-crf", "10"],
            "progressive": ["-vf", f"{stripes},format=yuv420p,fps=25", "-c:v", "libx264", "-crf", "10"],
        }[kind]
        if kind == "flagged":
            codec = ["-vf", fields, *codec]
        ffmpeg("-f", "lavfi", "-i", "color=gray:s=720x576:r=50:d=2.4", *codec, path)
        return path

    return make


@pytest.mark.parametrize(
    "kind", ["tff", *(pytest.param(kind, marks=pytest.mark.long) for kind in ("flagged", "bff", "progressive"))]
)
def test_fields_become_frames(
    interlaced: Callable[[str], Path], encode: Encode, watch: Watch, look: Any, kind: str
) -> None:
    source = interlaced(kind)
    made = encode(source, renditions=[{"height": 576, "max_rate": "8M"}], crf=10, preset="ultrafast")
    film = made.films[0]
    assert len(look(film).frames) == len(look(source).frames)
    before, after = (combing(watch(path)[30][1]) for path in (source, film))
    assert (before > 2) == (kind != "progressive"), before
    assert after < 1.2


# Shapes


def test_anamorphic_pixels_are_squared(tmp_path: Path, encode: Encode, watch: Watch, ffmpeg: Ffmpeg) -> None:
    """PAL for television sets of 16:9: 720x576 pixels, each 64/45 as wide as high."""
    source = tmp_path / "pal.mp4"
    box = "color=gray:s=1024x576:d=0.4,drawbox=x=412:y=188:w=200:h=200:color=white:t=fill"
    ffmpeg("-f", "lavfi", "-i", f"{box},scale=720:576,setsar=64/45", "-c:v", "libx264", source)
    made = encode(source)
    (rendition,) = made.artifacts("rendition")
    assert (rendition.width, rendition.height) == (640, 360)
    image = watch(made.films[0])[3][1].convert("L")
    across = sum(image.getpixel((x, 180)) > 190 for x in range(640))  # type: ignore[operator]
    down = sum(image.getpixel((320, y)) > 190 for y in range(360))  # type: ignore[operator]
    assert [across, down] == pytest.approx([125, 125], abs=2)
    with av.open(str(made.films[0])) as container:
        assert container.streams.video[0].sample_aspect_ratio in {None, 1}


#: Rows of the display matrix by how a player must show the picture, and how to undo that in a picture of Pillow's.
_IDENTITY, _FLIP, _TURN = (1, 0, 0, 1), (-1, 0, 0, 1), (0, 1, -1, 0)
ORIENTATIONS: dict[str, tuple[tuple[int, int, int, int], Sequence[Image.Transpose]]] = {
    "mirrored (a selfie)": (_FLIP, [Image.Transpose.FLIP_LEFT_RIGHT]),
    "upside down and mirrored": ((1, 0, 0, -1), [Image.Transpose.FLIP_TOP_BOTTOM]),
    "mirrored, then turned clockwise": ((0, -1, -1, 0), [Image.Transpose.ROTATE_90, Image.Transpose.FLIP_LEFT_RIGHT]),
    "mirrored, then turned back": ((0, 1, 1, 0), [Image.Transpose.ROTATE_270, Image.Transpose.FLIP_LEFT_RIGHT]),
}


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_mirrored_pictures_are_shown_as_a_player_would(tmp_path: Path, encode: Encode, watch: Watch, name: str) -> None:
    (a, b, c, d), undo = ORIENTATIONS[name]
    plain, source = make_clip(tmp_path / "plain.mp4", seconds=0.4, width=640, height=360), tmp_path / "mirrored.mp4"
    one, whole = 1 << 16, 1 << 30
    with av.open(str(plain)) as given, av.open(str(source), "w") as container:
        stream = container.add_stream_from_template(given.streams.video[0])
        stream.set_display_matrix((a * one, b * one, 0, c * one, d * one, 0, 0, 0, whole))
        for packet in given.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    image = watch(encode(source).films[0])[7][1]
    for step in undo:
        image = image.transpose(step)
    assert frame_number(image) == 7


# Frame rates


@pytest.mark.parametrize(
    ("rate", "kept"), [(25, 25), (30, 30), (50, 50), (60, 60), (Fraction(60_000, 1001), 59.94), (120, 60), (100, 50)]
)
def test_frame_rates_to_sixty_are_kept(clip: Clip, encode: Encode, look: Any, rate: Any, kept: float) -> None:
    times = [number / float(rate) for number in range(round(float(rate)))]
    source = clip(f"{float(rate):g}.mp4", seconds=1, rate=rate, times=times, audio=False)
    made = encode(source)
    for film in made.films:
        found = look(film)
        assert found.faults == ()
        assert len(found.frames) == pytest.approx(kept, abs=0.1), film.name
        gaps = [after - before for before, after in itertools.pairwise(found.frames)]
        assert all(gap == pytest.approx(1 / kept, abs=0.0015) for gap in gaps)
    assert made.output.facts["frame_rate"] == pytest.approx(kept, abs=0.01)
