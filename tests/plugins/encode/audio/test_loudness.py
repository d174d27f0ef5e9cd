"""Loudness by EBU R 128, measured by ffmpeg's own meter."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from plugins.encode.options import EncodeOptions

Clip = Callable[..., Path]
Encode = Callable[..., Any]
Ffmpeg = Callable[..., None]

#: A murmur and a voice that swells three times a second, with a door that slams in the middle.
SOUNDS = {
    "soft": "sine=f=300:d=12,volume=-14dB,tremolo=f=3:d=0.8",
    "loud": "anoisesrc=d=12:a=0.9:c=pink,volume=6dB",
    "slam": "sine=f=300:d=12,volume='if(between(t,6,6.05),1.5,0.3)':eval=frame",
}


def measure(path: Path) -> tuple[float, float]:
    """Return the integrated loudness in LUFS and the true peak in dB."""
    command = [
        "ffmpeg",
        "-hide_banner",
        "-i",
        str(path),
        "-map",
        "0:a:0",
        "-af",
        "ebur128=peak=true",
        "-f",
        "null",
        "-",
    ]
    summary = subprocess.run(command, capture_output=True, text=True, check=True).stderr.split("Summary:")[1]
    loudness, peak = re.search(r"I:\s+(\S+) LUFS", summary), re.search(r"Peak:\s+(\S+) dBFS", summary)
    assert loudness
    assert peak
    return float(loudness[1]), float(peak[1])


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory, ffmpeg: Ffmpeg, clip: Clip) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("loudness")

    def make(sound: str) -> Path:
        path = folder / f"{sound}.mkv"
        inputs = ["-i", clip("silent.mp4", seconds=12, rate=2, audio=False), "-f", "lavfi", "-i", SOUNDS[sound]]
        ffmpeg(*inputs, "-c:v", "copy", "-c:a", "flac", path)
        return path

    return make


@pytest.mark.parametrize("target", [-16, -23])
@pytest.mark.parametrize("sound", SOUNDS)
def test_all_sound_reaches_the_asked_loudness(
    recording: Callable[[str], Path], encode: Encode, look: Any, target: int, sound: str
) -> None:
    made = encode(recording(sound), loudness=target)
    for path in (*made.films, *made.files("audio")):
        loudness, peak = measure(path)
        assert loudness == pytest.approx(target, abs=1), path.name
        assert peak < -0.5, path.name
    assert look(made.films[0]).sound_end == pytest.approx(12, abs=0.05)


def test_loudness_is_left_alone_unless_asked(recording: Callable[[str], Path], encode: Encode) -> None:
    source = recording("soft")
    assert measure(encode(source).films[0])[0] == pytest.approx(measure(source)[0], abs=0.3)


def test_silence_stays_silence(tmp_path: Path, encode: Encode, ffmpeg: Ffmpeg) -> None:
    source = tmp_path / "silence.flac"
    ffmpeg("-f", "lavfi", "-i", "anullsrc=d=3", source)
    assert measure(encode(source, loudness=-16).files("audio")[0])[0] == -70


def test_credits_are_as_loud_as_the_lecture(recording: Callable[[str], Path], encode: Encode, clip: Clip) -> None:
    dressed = encode(recording("soft"), loudness=-23, dressing={"opening": str(clip("opening.mp4", seconds=6))})
    assert measure(dressed.films[0])[0] == pytest.approx(-23, abs=1)


def test_only_broadcasters_loudnesses_are_known() -> None:
    assert EncodeOptions.model_validate({"loudness": "-16"}).loudness == -16
    with pytest.raises(ValidationError):
        EncodeOptions.model_validate({"loudness": -20})
