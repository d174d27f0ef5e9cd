"""The picture that a sound file carries: used for what it is, and never worth a lecture."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

Clip = Callable[..., Path]
Encode = Callable[..., Any]

NOTE = "the cover can't be read as a picture (it is none, or is cut off) and was left out"


def picture(kind: str) -> bytes:
    data = io.BytesIO()
    Image.effect_noise((64, 64), 90).convert("RGB").save(data, kind)
    return data.getvalue()


def synchsafe(number: int) -> bytes:
    return bytes(number >> shift & 127 for shift in (21, 14, 7, 0))


def tagged(sound: Path, target: Path, media_type: str, cover: bytes) -> Path:
    """Write an MP3 behind an ID3v2.4 tag with an attached picture."""
    body = b"\0" + media_type.encode() + b"\0\3\0" + cover
    frame = b"APIC" + synchsafe(len(body)) + b"\0\0" + body
    target.write_bytes(b"ID3\4\0\0" + synchsafe(len(frame)) + frame + sound.read_bytes())
    return target


@pytest.mark.parametrize(
    ("media_type", "cover"),
    [
        ("image/jpeg", b"this is no picture " * 20),
        ("image/jpeg", b"\xff\xd8"),
        ("image/jpeg", picture("JPEG")[:700]),
        ("image/png", picture("PNG")[:700]),
        ("image/png", b"\x89PNG\r\n\x1a\n" + bytes(100)),
    ],
    ids=["text", "a beginning", "a JPEG cut off", "a PNG cut off", "a PNG of zeros"],
)
def test_good_sound_with_a_broken_cover_is_encoded_with_a_note(
    clip: Clip, encode: Encode, tmp_path: Path, media_type: str, cover: bytes
) -> None:
    made = encode(tagged(clip("a.mp3", seconds=0.5, video=False), tmp_path / "a.mp3", media_type, cover))

    assert made.output.notes == (NOTE,)
    assert [path.name for path in made.files("audio")] == ["audio_192k.mp3", "audio_192k.m4a"]
    assert not made.files("thumbnail")


@pytest.mark.parametrize(
    ("media_type", "kind"),
    [("image/png", "JPEG"), ("image/jpeg", "PNG"), ("image/jpeg", "BMP"), ("image/png", "WEBP"), ("image/gif", "GIF")],
)
def test_a_cover_is_taken_for_what_it_is_whatever_it_is_called(
    clip: Clip, encode: Encode, tmp_path: Path, media_type: str, kind: str
) -> None:
    made = encode(tagged(clip("a.mp3", seconds=0.5, video=False), tmp_path / "a.mp3", media_type, picture(kind)))

    assert made.output.notes == ()
    assert [(one.width, one.height) for one in made.artifacts("thumbnail")] == [(64, 64)] * 3
