"""Damage in a source is the source's: no plugin, disk or operator is blamed, and what is missing is said."""

from __future__ import annotations

import array
import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest

from core import BadSource
from plugins.media.truncation import FOLLOWED

Clip = Callable[..., Path]
Encode = Callable[..., Any]

DAMAGED = Path(__file__).parents[3] / "data/damaged"


def without(source: Path, path: Path, kind: str, start: float, end: float) -> Path:
    """Copy a clip without the packets of a kind between two seconds, or with noise in their place."""
    with av.open(str(source)) as one, av.open(str(path), "w") as other:
        streams = {stream.index: other.add_stream_from_template(stream) for stream in one.streams}
        for packet in one.demux():
            if packet.dts is None:
                continue
            is_hit = start <= float(packet.dts * packet.time_base) < end
            is_hit = is_hit and packet.stream.type == kind.removeprefix("noisy ")
            if is_hit and not kind.startswith("noisy"):
                continue
            kept = _noise(packet) if is_hit else packet
            kept.stream = streams[packet.stream.index]
            other.mux_one(kept)
    return path


def _noise(packet: Any) -> Any:
    noise: Any = av.Packet(b"\xff" * packet.size)
    noise.stream, noise.pts, noise.dts, noise.time_base = packet.stream, packet.pts, packet.dts, packet.time_base
    noise.duration = packet.duration
    return noise


@pytest.mark.parametrize("name", ["aac-not-permitted.mov", "aac-not-permitted.mkv", "ac3-unknown-error.mp4"])
def test_what_a_decoder_says_is_about_the_source_alone(encode: Encode, name: str) -> None:
    made = encode(DAMAGED / name)
    assert any("damaged packets of the source were left out" in note for note in made.output.notes)


def test_seconds_that_are_missing_are_said(encode: Encode) -> None:
    made = encode(DAMAGED / "aac-not-permitted.mov")
    assert "2.2 s of the sound can't be read and are missing: second 0.8 to 3.0" in made.output.notes
    assert made.output.facts["missing_seconds"] == {"sound": 2.2}
    short = encode(DAMAGED / "aac-not-permitted.mkv")
    assert "the source says that it lasts 3.0 s, and ends at second 0.8" in short.output.notes


def test_a_file_that_ends_with_its_head_is_refused(encode: Encode) -> None:
    with pytest.raises(BadSource, match=r"nothing-but-a-head\.ogg is not an audio or video file"):
        encode(DAMAGED / "nothing-but-a-head.ogg")


def test_sound_of_which_nothing_decodes_is_refused(encode: Encode) -> None:
    with pytest.raises(BadSource, match=r"aac-nothing-decodes\.mkv holds nothing that can be decoded: upload it again"):
        encode(DAMAGED / "aac-nothing-decodes.mkv")


@pytest.mark.parametrize("kind", ["audio", "noisy audio"])
def test_a_hole_in_the_sound_is_said(clip: Clip, encode: Encode, tmp_path: Path, kind: str) -> None:
    source = clip("a.mkv", seconds=6, width=160, height=90)
    made = encode(without(source, tmp_path / "hole.mkv", kind, 2, 3.5))
    (note,) = [note for note in made.output.notes if "of the sound" in note]
    assert note.startswith("1.5 s of the sound can't be read and are missing: second 2.0 to 3.5")


@pytest.mark.parametrize("kind", ["video", "noisy video"])
def test_a_hole_in_the_pictures_is_said(clip: Clip, encode: Encode, tmp_path: Path, kind: str) -> None:
    source = clip("v.mkv", seconds=6, width=160, height=90, audio=False, keyframe_every=5)
    made = encode(without(source, tmp_path / "hole.mkv", kind, 2, 3.6))
    (note,) = [note for note in made.output.notes if "of the pictures" in note]
    assert note.startswith("1.6 s of the pictures can't be read and are missing: second 2.0 to 3.6")


def test_sound_that_is_no_number_is_silence_and_told(encode: Encode, look: Any, tmp_path: Path) -> None:
    """LAME would end the process, AAC refuse the frame."""
    samples = array.array("f", (0.3 * math.sin(n / 20) for n in range(4 * 8_000)))
    samples[8_000:20_000] = array.array("f", [math.nan, math.inf, 1e30, 0.1] * 3_000)
    path = tmp_path / "odd.wav"
    form = struct.pack("<HHIIHH", 3, 1, 8_000, 32_000, 4, 32)
    chunks = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", 128_000) + samples.tobytes()
    path.write_bytes(b"RIFF" + struct.pack("<I", len(chunks)) + chunks)

    made = encode(path)
    assert made.output.facts["missing_seconds"]["sound"] == pytest.approx(1.5, abs=0.3)
    assert any("of the sound can't be read" in note for note in made.output.notes)
    for sound in made.files("audio"):
        assert (look(sound).faults, look(sound).sound_end) == ((), pytest.approx(4, abs=0.1))


def test_a_whole_film_has_no_note(clip: Clip, encode: Encode) -> None:
    for name in ("a.mkv", "a.mp4", "a.ts", "a.webm", "a.avi", "a.mp3", "a.ogg"):
        assert encode(clip(name, seconds=2, width=160, height=90)).output.notes == (), name


def test_a_slide_that_stays_is_no_loss(clip: Clip, encode: Encode) -> None:
    times = [0, 0.033, 0.07, 0.1, 0.5, 0.533, 3.2, 3.25, 5.9]
    assert encode(clip("a.mkv", times=times, seconds=6, width=160, height=90)).output.notes == ()


def test_slides_without_sound_that_stay_are_no_loss(clip: Clip, encode: Encode) -> None:
    source = clip("slides.mkv", times=[0, 3, 6], seconds=9, width=160, height=90, audio=False)
    assert encode(source).output.notes == ()


@pytest.mark.parametrize("name", ["a.mp4", "a.wav"])
def test_a_recording_behind_the_first_is_told(clip: Clip, encode: Encode, tmp_path: Path, name: str) -> None:
    one = clip(name, seconds=2, width=160, height=90)
    joined = tmp_path / name
    joined.write_bytes(one.read_bytes() * 2)
    assert encode(joined).output.notes == (FOLLOWED,)


def test_the_parts_of_a_film_tell_of_its_losses_what_the_whole_tells(clip: Clip, encode: Encode) -> None:
    from plugins.encode.source.reader import Reading

    one, other, whole = Reading(), Reading(), Reading()
    one.add(2, {"pictures": [(1, 2)]})  # type: ignore[list-item]
    other.add(1, {"pictures": [(2, 3.5)]})  # type: ignore[list-item]
    for part in (one, other):
        whole.add_facts(part.facts)
    assert whole.notes == [
        "2.5 s of the pictures can't be read and are missing: second 1.0 to 3.5",
        "3 damaged packets of the source were left out",
    ]
