"""The films that are encoded: made here, the same on every machine that has the same ffmpeg."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

SLIDE_SECONDS = 10

WORDS = """
entropy energy system heat work state process equilibrium reversible cycle temperature pressure volume ideal gas law
first second third enthalpy engine reservoir isolated closed open function path integral change measure density
molecule kinetic theory constant partition ensemble free potential phase transition critical point
""".split()  # noqa: SIM905 - forty words read better than a list of them

#: Speech for an encoder's purposes: a voice's harmonics in syllables and pauses, over the noise of a room.
SPEECH = (
    "aevalsrc='0.25*(sin(2*PI*140*t)+sin(2*PI*280*t)/2+sin(2*PI*700*t)/3+sin(2*PI*2100*t)/8)"
    "*(0.5+0.5*sin(2*PI*3.7*t))*gt(sin(2*PI*0.21*t),-0.7)+0.02*(random(0)-0.5)'"
)

_X264 = ("-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-g", "250")


def lecture(path: Path, seconds: int) -> Path:
    """Slides of text at 1080p that change every ten seconds, and a noisy moving inset where the speaker would be."""
    slides = path.with_suffix(".slides")
    slides.mkdir()
    for number in range(-(-seconds // SLIDE_SECONDS)):
        _slide(number).save(slides / f"{number:03}.png")
    _ffmpeg(
        *("-framerate", f"1/{SLIDE_SECONDS}", "-i", str(slides / "%03d.png")),
        *("-f", "lavfi", "-i", "mandelbrot=size=480x270:rate=25,noise=alls=10:allf=t"),
        *("-f", "lavfi", "-i", f"{SPEECH}:channel_layout=mono:sample_rate=48000,aformat=channel_layouts=stereo"),
        *("-filter_complex", "[0:v]fps=25[slides];[slides][1:v]overlay=main_w-overlay_w-40:40,format=yuv420p[v]"),
        *("-map", "[v]", "-map", "2:a", "-t", str(seconds)),
        *(*_X264, "-crf", "23", "-c:a", "aac", "-b:a", "160k", str(path)),
    )
    return path


def camera(path: Path, seconds: int) -> Path:
    """720p that moves everywhere and is noisy: the encoder runs into its bit rate caps all the time."""
    _ffmpeg(
        *("-f", "lavfi", "-i", "mandelbrot=size=1280x720:rate=25,noise=alls=12:allf=t"),
        *("-f", "lavfi", "-i", f"{SPEECH}:channel_layout=mono:sample_rate=44100"),
        *("-t", str(seconds)),
        *(*_X264, "-crf", "28", "-maxrate", "4500k", "-bufsize", "9000k", "-c:a", "aac", "-b:a", "96k", str(path)),
    )
    return path


def repeat(source: Path, path: Path, seconds: int) -> Path:
    """The same film over and over, up to a length, without encoding it again."""
    _ffmpeg("-stream_loop", "-1", "-i", str(source), "-t", str(seconds), "-c", "copy", str(path))
    return path


def _slide(number: int) -> Image.Image:
    chance = random.Random(number)
    picture = Image.new("RGB", (1920, 1080), "#fbfaf7")
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 0, 1920, 120), fill="#22577a")
    draw.text((80, 25), f"Thermodynamics {number + 1}", "white", ImageFont.load_default(60))
    for line in range(11):
        words = " ".join(chance.choices(WORDS, k=6 if line < 4 else 10))
        draw.text((100, 170 + 78 * line), words, "#1b2a41", ImageFont.load_default(38))
    return picture


def _ffmpeg(*arguments: str) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *arguments], check=True)
