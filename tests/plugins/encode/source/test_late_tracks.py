"""Tracks that begin anywhere in the file, and pictures as rare or as frequent as recorders make them."""

from __future__ import annotations

import array
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from plugins.encode.source.probe import probe

Clip = Callable[..., Path]
Encode = Callable[..., Any]
Ffmpeg = Callable[..., None]

#: More packets than are searched for all tracks together.
_CAMERA_FROM, _SOUND_FROM = 44, 8.8
_CAMERA = {"times": [_CAMERA_FROM + n / 10 for n in range(5)], "rate": 10, "seconds": _CAMERA_FROM + 0.5}
_SOUND = {"rate": 240, "seconds": 9, "audio_delay": _SOUND_FROM}
_CODECS = {".ogv": ("libtheora", "libvorbis"), ".webm": ("libvpx", "libopus")}
_TINY = {"width": 64, "height": 36}


def make(clip: Clip, ffmpeg: Ffmpeg, suffix: str, **late: Any) -> Path:
    """Make a clip of which one track begins late; of the kinds that only ffmpeg writes too."""
    source = clip("a.mkv", **_TINY, **late)
    if suffix == ".mkv":
        return source
    path = source.with_suffix(suffix)
    codecs = _CODECS.get(suffix, ("copy", "copy"))
    ffmpeg("-copyts", "-i", source, "-c:v", codecs[0], "-c:a", codecs[1], path)
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm", ".ts", ".flv", ".nut", ".ogv"])
def test_a_camera_that_is_switched_on_late_is_found(clip: Clip, ffmpeg: Ffmpeg, suffix: str) -> None:
    media = probe(make(clip, ffmpeg, suffix, **_CAMERA))
    assert media.video
    assert media.audio
    assert media.notes == ()
    assert float(media.video.begins - media.origin) == pytest.approx(_CAMERA_FROM, abs=0.2)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".ts", ".flv", ".nut"])
def test_sound_that_sets_in_late_is_found(clip: Clip, ffmpeg: Ffmpeg, suffix: str) -> None:
    media = probe(make(clip, ffmpeg, suffix, **_SOUND))
    assert media.video
    assert media.audio
    assert media.notes == ()
    assert float(media.audio.begins - media.origin) == pytest.approx(_SOUND_FROM, abs=0.2)


def test_tracks_that_lie_one_behind_the_other_are_both_found(clip: Clip, ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    """All pictures first, then all sound, as no recorder writes but as some tools do."""
    source, path = make(clip, ffmpeg, ".mkv", **_SOUND), tmp_path / "blocks.mkv"
    as_given = {"max_interleave_delta": "1"}
    with av.open(str(source)) as one, av.open(str(path), "w", container_options=as_given) as other:
        streams = {stream.index: other.add_stream_from_template(stream) for stream in one.streams}
        packets = [packet for packet in one.demux() if packet.size]
        for packet in sorted(packets, key=lambda packet: packet.stream.type == "audio"):
            packet.stream = streams[packet.stream.index]
            other.mux_one(packet)
    media = probe(path)
    assert media.video
    assert media.audio


def test_a_track_without_a_frame_is_said_to_be_left_out(tmp_path: Path, clip: Clip) -> None:
    source, path = clip("a.mkv", **_TINY), tmp_path / "mute.mkv"
    with av.open(str(source)) as one, av.open(str(path), "w") as other:
        streams = {stream.index: other.add_stream_from_template(stream) for stream in one.streams}
        for packet in one.demux(video=0):
            if packet.size:
                packet.stream = streams[packet.stream.index]  # type: ignore[assignment]
                other.mux_one(packet)
    media = probe(path)
    assert (media.audio, media.notes) == (None, ("audio track 1 can't be decoded and was left out",))


def test_before_a_late_camera_the_film_is_black_and_its_sound_is_heard(
    clip: Clip, ffmpeg: Ffmpeg, encode: Encode, look: Any
) -> None:
    made = encode(make(clip, ffmpeg, ".mkv", **_CAMERA))
    assert made.output.notes == ()
    for film in made.films:
        seen = look(film)
        assert (len(seen.frames), seen.faults) == (_CAMERA_FROM + 5, ())
        assert seen.frames[0] == pytest.approx(seen.sound_start, abs=0.1)
    playlist = (made.folder / "360p.m3u8").read_text()
    segments = [float(line[8:-1]) for line in playlist.splitlines() if line.startswith("#EXTINF:")]
    assert max(segments) < 3
    with av.open(str(made.films[0])) as container:
        first = next(container.decode(video=0)).reformat(format="gray")
        assert max(bytes(first.planes[0])) < 40


def test_before_late_sound_there_is_silence(clip: Clip, ffmpeg: Ffmpeg, encode: Encode) -> None:
    made = encode(make(clip, ffmpeg, ".mkv", **_SOUND))
    assert made.output.notes == ()
    with av.open(str(made.files("audio")[0])) as container:
        first = next(
            frame.time
            for frame in container.decode(audio=0)
            if max(array.array("f", bytes(frame.planes[0])[: frame.samples * 4])) > 0.05
        )
    assert first == pytest.approx(_SOUND_FROM, abs=0.1)


@pytest.mark.parametrize(("rate", "seconds"), [("1/20", 60), ("1/3", 9), ("1", 3), ("240", 0.5)])
@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_pictures_come_as_rarely_or_as_often_as_they_like(
    tmp_path: Path, ffmpeg: Ffmpeg, encode: Encode, rate: str, seconds: float, suffix: str
) -> None:
    path = tmp_path / f"slides{suffix}"
    slides = f"testsrc=s=64x36:r={rate}:d={seconds}"
    sound = f"sine=d={seconds}"
    ffmpeg("-f", "lavfi", "-i", slides, "-f", "lavfi", "-i", sound, "-c:v", "mpeg4", "-c:a", "aac", path)
    made = encode(path)
    assert made.output.notes == ()
    assert made.output.facts["duration"] == pytest.approx(seconds, abs=0.1)
    kept = min(float(Fraction(rate)), 60.0)
    assert made.artifacts("rendition")[0].frames == pytest.approx(kept * seconds, abs=1)
