"""Ten kinds of lecture, drawn here: what `benchmarks.quality` compares encoders on.

Each kind is drawn from a number; another number gives other texts, colours, movements and noise. Those of TABLE make
the table, those of TUNING were looked at when the encoder's constants were chosen.
"""

from __future__ import annotations

import math
import random
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from benchmarks.media import SPEECH, WORDS

TABLE, TUNING = 7, 1234

#: Seconds of a slide.
_SLIDE = 8

_HD, _FULL_HD = (1280, 720), (1920, 1080)

Frames = Iterator[Image.Image]
Draw = Callable[[random.Random, tuple[int, int], int, int], Frames]


@dataclass(frozen=True)
class Kind:
    """How a clip is drawn: at a size, so many frames a second, and how well its recorder kept it (x264's CRF)."""

    draw: Draw
    size: tuple[int, int] = _FULL_HD
    rate: int = 25
    crf: int = 20


def make(name: str, path: Path, seconds: int, number: int = TABLE) -> Path:
    """Draw a clip of a kind, with sound."""
    kind = KINDS[name]
    width, height = kind.size
    command = (
        *("ffmpeg", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}"),
        *("-r", str(kind.rate), "-i", "-", "-f", "lavfi", "-i", f"{SPEECH}:channel_layout=mono:sample_rate=48000"),
        *("-shortest", "-c:v", "libx264", "-preset", "veryfast", "-crf", str(kind.crf)),
        *("-g", "250"),
        *("-vf", "scale=out_color_matrix=bt709", "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "128k", str(path)),
    )
    with subprocess.Popen(command, stdin=subprocess.PIPE) as ffmpeg:
        assert ffmpeg.stdin
        for frame in kind.draw(random.Random(f"{name} {number}"), kind.size, kind.rate, seconds * kind.rate):
            ffmpeg.stdin.write(frame.tobytes())
    if ffmpeg.returncode:
        raise subprocess.CalledProcessError(ffmpeg.returncode, command)
    return path


def _slides(chance: random.Random, size: tuple[int, int], rate: int, count: int, *, has_chart: bool = False) -> Frames:
    for number in range(count):
        if number % (_SLIDE * rate) == 0:
            slide = _slide(chance, size, has_chart=has_chart)
        yield slide


def _slides_with_inset(chance: random.Random, size: tuple[int, int], rate: int, count: int) -> Frames:
    inset = (size[0] // 4, size[1] // 4)
    for slide, head in zip(
        _slides(chance, size, rate, count, has_chart=True), _head(chance, inset, rate, count), strict=True
    ):
        picture = slide.copy()
        picture.paste(head, (size[0] - inset[0] - 40, 40))
        yield picture


def _whiteboard(chance: random.Random, size: tuple[int, int], rate: int, count: int) -> Frames:
    board = Image.fromarray(_grain(_gradient(size, (236, 238, 240), (220, 224, 228)), chance, 1.0))
    ink, hand = ImageDraw.Draw(board), _texture(chance, (220, 320), (150, 110, 90), 30).convert("RGB")
    shape = Image.new("L", hand.size)
    ImageDraw.Draw(shape).ellipse((10, 0, 210, 420), fill=255)
    x, y, phase = 200.0, 200.0, 0.0
    for number in range(count):
        if number % (3 * rate) < 2 * rate:  # writes, then speaks
            for _ in range(4):
                phase += chance.uniform(0.2, 0.45)
                there = (x + 3 + 9 * math.cos(phase), y + 12 * math.sin(phase * 1.3))
                ink.line((x, y, *there), fill=(30, 40, 120), width=5)
                x, y = there
            if x > size[0] - 300:
                x, y = 200.0, y + 90
        picture = board.copy()
        picture.paste(hand, (int(x), int(y)), shape)
        yield picture


def _scrolling(chance: random.Random, size: tuple[int, int], rate: int, count: int) -> Frames:
    page = _page(chance, (size[0], size[1] * 4), "#ffffff", "#222222")
    offset, speed = 0.0, 0.0
    for number in range(count):
        target = 14.0 if (number // rate) % 3 else 0.0
        speed += (target - speed) * 0.15
        offset = min(offset + (speed if speed > 0.3 else 0), size[1] * 3)
        yield page.crop((0, int(offset), size[0], int(offset) + size[1]))


def _editor(chance: random.Random, size: tuple[int, int], rate: int, count: int) -> Frames:
    picture = Image.new("RGB", size, "#1e1f26")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(26)
    draw.rectangle((0, 0, 300, size[1]), fill="#16171c")
    for row in range(24):
        draw.text((24, 40 + 40 * row), f"{chance.choice(WORDS)}.py", "#8a8fa3", font)
    x, y, letter = 340.0, 40, 0
    line = _code(chance)
    for number in range(count):
        if (number // rate) % 4 != 3 and number % 3 == 0:  # types, then explains
            if letter == len(line):
                x, y, letter, line = 340.0, y + 36, 0, _code(chance)
                if y > size[1] - 80:
                    part = picture.crop((301, 76, size[0], size[1]))
                    draw.rectangle((301, 0, *size), fill="#1e1f26")
                    picture.paste(part, (301, 40))
                    y -= 36
            draw.text((x, y), line[letter], ("#c792ea", "#82aaff", "#c3e88d")[letter % 3], font)
            x += draw.textlength(line[letter], font)
            letter += 1
        shown = picture
        if (number // (rate // 2)) % 2:
            shown = picture.copy()
            ImageDraw.Draw(shown).rectangle((x + 2, y, x + 5, y + 30), fill="#ffcc00")
        yield shown


def _head(chance: random.Random, size: tuple[int, int], rate: int, count: int, noise: float = 4.0) -> Frames:
    width, height = size
    background = _texture(chance, size, tuple(chance.randrange(60, 150) for _ in range(3)), 40)
    face = _texture(chance, (height // 3, height // 2), (205, 160, 135), 22)
    shape = Image.new("L", face.size)
    ImageDraw.Draw(shape).ellipse((0, 0, face.width - 1, face.height - 1), fill=255)
    for number in range(count):
        seconds = number / rate
        picture = background.copy()
        x = width / 2 - face.width / 2 + width / 30 * math.sin(seconds * 1.7) + width / 80 * math.sin(seconds * 5.3)
        y = height / 5 + height / 40 * math.sin(seconds * 2.3)
        draw = ImageDraw.Draw(picture)
        draw.rectangle((x - face.width * 0.6, y + face.height * 0.9, x + face.width * 1.6, height), fill=(40, 50, 80))
        picture.paste(face, (int(x), int(y)), shape)
        for eye in (0.3, 0.7):
            lid = 1 if seconds % 3 < 0.15 else face.height / 28
            centre = x + face.width * eye, y + face.height * 0.4
            box = (centre[0] - face.width / 14, centre[1] - lid, centre[0] + face.width / 14, centre[1] + lid)
            draw.ellipse(box, fill=(45, 35, 30))
        mouth = face.height / 40 * (2.1 + math.sin(seconds * 17) + math.sin(seconds * 11))
        middle = y + face.height * 0.75
        draw.ellipse((x + face.width * 0.35, middle - mouth, x + face.width * 0.65, middle + mouth), fill=(120, 50, 50))
        yield Image.fromarray(_grain(np.asarray(picture), chance, noise))


def _fast(chance: random.Random, size: tuple[int, int], rate: int, count: int) -> Frames:
    width, height = size
    world = _texture(chance, (width * 2, height * 2), (110, 120, 100), 90)
    for number in range(count):
        seconds = number / rate
        x = int((math.sin(seconds * 1.1) + 1) / 2 * width)
        y = int((math.sin(seconds * 1.7) + 1) / 2 * height)
        picture = world.crop((x, y, x + width, y + height))
        draw = ImageDraw.Draw(picture)
        for ball in range(12):
            at = (
                width * (0.5 + 0.45 * math.sin(seconds * (2 + ball / 3) + ball)),
                height * (0.5 + 0.4 * math.cos(seconds * (3 + ball / 4))),
            )
            colour = (20 * ball, 255 - 18 * ball, 90 + 12 * ball)
            draw.ellipse((at[0] - 50, at[1] - 50, at[0] + 50, at[1] + 50), fill=colour)
        yield picture


def _hall(chance: random.Random, size: tuple[int, int], rate: int, count: int) -> Frames:
    width, height = size
    hall = _texture(chance, size, (40, 36, 34), 14)
    screen = _slide(chance, (width // 3, height // 3))
    hall.paste(screen, (width // 2, height // 8))
    person = _texture(chance, (height // 9, height // 3), (90, 70, 60), 20)
    for number in range(count):
        picture = hall.copy()
        x = width / 4 + width / 8 * math.sin(number / rate * 0.8)
        picture.paste(person, (int(x), int(height * 0.5 + 4 * math.sin(number / rate * 6))))
        yield Image.fromarray(_grain(np.asarray(picture), chance, 7.0))


def _fifty(chance: random.Random, size: tuple[int, int], rate: int, count: int) -> Frames:
    return _head(chance, size, rate, count, noise=2.0)


def _phone(chance: random.Random, size: tuple[int, int], rate: int, count: int) -> Frames:
    small = (640, 360)
    x = y = 0.0
    for picture in _head(chance, (704, 396), rate, count, noise=5.0):
        x = min(max(x + chance.uniform(-2, 2), 0), 64)
        y = min(max(y + chance.uniform(-2, 2), 0), 36)
        box = (int(x), int(y), int(x) + small[0], int(y) + small[1])
        yield picture.crop(box).resize(size, Image.Resampling.BILINEAR)


KINDS = {
    "slides": Kind(_slides, crf=23),
    "slides-inset": Kind(_slides_with_inset, crf=23),
    "whiteboard": Kind(_whiteboard),
    "scrolling": Kind(_scrolling, rate=30, crf=23),
    "editor": Kind(_editor, rate=30, crf=23),
    "head": Kind(_head, _HD),
    "fast": Kind(_fast),
    "hall": Kind(_hall, crf=23),
    "fifty": Kind(_fifty, _HD, rate=50),
    "phone": Kind(_phone, rate=30),
}


# What they are drawn with


def _slide(chance: random.Random, size: tuple[int, int], *, has_chart: bool = False) -> Image.Image:
    width, height = size
    picture = Image.new("RGB", size, "#fbfaf7")
    draw, unit = ImageDraw.Draw(picture), height / 1080
    draw.rectangle((0, 0, width, 120 * unit), fill=chance.choice(("#22577a", "#7a2233", "#2f6b3a")))
    draw.text((80 * unit, 25 * unit), " ".join(chance.choices(WORDS, k=3)), "white", ImageFont.load_default(60 * unit))
    for line in range(11):
        words = " ".join(chance.choices(WORDS, k=6 if line < 4 else 10))
        draw.text((100 * unit, (170 + 78 * line) * unit), words, "#1b2a41", ImageFont.load_default(38 * unit))
    if has_chart:
        chart = _texture(chance, (int(500 * unit), int(360 * unit)), (150, 120, 90), 70)
        picture.paste(chart, (int(1300 * unit), int(180 * unit)))
    return picture


def _page(chance: random.Random, size: tuple[int, int], paper: str, ink: str) -> Image.Image:
    picture = Image.new("RGB", size, paper)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(28)
    for y in range(40, size[1] - 40, 44):
        draw.text((120, y), " ".join(chance.choices(WORDS, k=14)), ink, font)
    return picture


def _code(chance: random.Random) -> str:
    return "    " * chance.randrange(3) + f"{chance.choice(WORDS)} = {chance.choice(WORDS)}({chance.choice(WORDS)})"


def _gradient(size: tuple[int, int], top: tuple[int, ...], bottom: tuple[int, ...]) -> NDArray[np.uint8]:
    share = np.linspace(0, 1, size[1])[:, None, None]
    lines = (1 - share) * np.array(top) + share * np.array(bottom)
    picture: NDArray[np.uint8] = np.broadcast_to(lines, (size[1], size[0], 3)).astype(np.uint8)
    return picture


def _texture(chance: random.Random, size: tuple[int, int], colour: tuple[int, ...], contrast: int) -> Image.Image:
    """Draw something with detail of all sizes, as surfaces have: noise of several octaves."""
    source = np.random.default_rng(chance.getrandbits(32))
    total = np.zeros((size[1], size[0], 3), np.float32)
    for octave in range(2, 9):
        shape = (min(2**octave, size[1]), min(2**octave, size[0]), 3)
        noise = Image.fromarray(source.integers(0, 256, shape, np.uint8)).resize(size, Image.Resampling.BICUBIC)
        total += (np.asarray(noise, np.float32) - 128) / (octave + 1)
    total *= contrast / max(float(np.abs(total).max()), 1.0)
    return Image.fromarray(np.clip(total + np.array(colour), 0, 255).astype(np.uint8))


def _grain(picture: NDArray[np.uint8], chance: random.Random, strength: float) -> NDArray[np.uint8]:
    source = np.random.default_rng(chance.getrandbits(32))
    noise = source.standard_normal((*picture.shape[:2], 1), np.float32) * strength
    return np.clip(picture + noise, 0, 255).astype(np.uint8)
