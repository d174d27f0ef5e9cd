"""Makes lecture.mp4: slides that show what is said, over a recording of it.

python make_lecture.py SPEECH.mp4 TRUTH.json lecture.mp4

SPEECH.mp4 has the sound (AAC, taken over as it is), TRUTH.json its sentences under the name of that file:
{"SPEECH.mp4": {"duration": 61.6, "segments": [{"start": 1.2, "end": 3.3, "text": "..."}, ...]}}.
Needs PyAV, Pillow and the DejaVu fonts (Debian: fonts-dejavu-core).
"""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TypedDict

import av
from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT, RATE = 1920, 1080, 25
INK, PAPER, BAND, ACCENT = "#1b2a41", "#fbfaf7", "#22577a", "#e07a1f"


class Segment(TypedDict):
    """A sentence; times in seconds."""

    start: float
    end: float
    text: str


def slide(text: str, number: int, count: int) -> Image.Image:
    picture = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 0, WIDTH, 130), fill=BAND)
    draw.text((90, 65), "Thermodynamics, lecture 1", PAPER, _font(54), anchor="lm")
    draw.text((WIDTH - 90, 65), f"{number}/{count}" if number else "", PAPER, _font(44), anchor="rm")
    draw.rectangle((90, 300, 102, 780), fill=ACCENT)
    draw.multiline_text((160, 540), textwrap.fill(text, 24), INK, _font(104), anchor="lm", spacing=36)
    return picture


def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype("DejaVuSans.ttf", size)


def pictures(segments: list[Segment], duration: float) -> Iterator[av.VideoFrame]:
    """Draw one picture after the other; each sentence half a second early, and a line at the foot grows with time."""
    current, picture = -2, Image.new("RGB", (WIDTH, HEIGHT))
    for number in range(round(duration * RATE)):
        spoken = sum(segment["start"] <= number / RATE + 0.5 for segment in segments) - 1
        turned = spoken != current
        if turned:
            current = spoken
            words = segments[spoken]["text"] if spoken >= 0 else "An introduction to thermodynamics"
            picture = slide(words, spoken + 1, len(segments))
        if turned or number % RATE == 0:
            done = WIDTH * number / (duration * RATE)
            ImageDraw.Draw(picture).rectangle((0, HEIGHT - 16, done, HEIGHT), fill=ACCENT)
        frame = av.VideoFrame.from_image(picture)  # type: ignore[no-untyped-call]  # PyAV has no types for Pillow
        frame.pts, frame.time_base = number, Fraction(1, RATE)
        yield frame


def make(speech: Path, segments: list[Segment], duration: float, target: Path) -> None:
    with av.open(str(speech)) as source, av.open(str(target), "w", options={"movflags": "faststart"}) as lecture:
        copied = lecture.add_stream_from_template(source.streams.audio[0])
        video = lecture.add_stream("libx264", RATE, options={"crf": "36", "preset": "slow", "g": "500"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        drawn = pictures(segments, duration)
        for packet in source.demux(audio=0):
            # Pictures up to this sound, so that a player need not jump in the file; at the end all that are left.
            until = duration if packet.dts is None else float(packet.dts * packet.time_base)
            for frame in drawn:
                lecture.mux(video.encode(frame))
                if frame.time >= until:
                    break
            if packet.dts is not None:
                packet.stream = copied
                lecture.mux(packet)
        lecture.mux(video.encode())


if __name__ == "__main__":
    speech, truth, target = map(Path, sys.argv[1:])
    known = json.loads(truth.read_text())[speech.name]
    make(speech, known["segments"], known["duration"], target)
