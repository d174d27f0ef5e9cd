from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from core import BadSource
from core.testing import Subtitles
from plugins.encode.source.probe import probe

Clip = Callable[..., Path]


def test_a_recording_is_described(clip: Clip) -> None:
    media = probe(clip("a.mp4", seconds=2, width=640, height=360, rate=30))
    assert media.video
    assert media.audio
    assert (media.video.width, media.video.height, media.video.turn, media.video.rate) == (640, 360, 0, Fraction(30))
    assert (media.audio.sample_rate, media.audio.channels) == (48_000, 2)
    assert media.duration == pytest.approx(2, abs=0.03)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_turned_picture_is_measured_as_it_is_shown(clip: Clip, rotation: int) -> None:
    video = probe(clip("a.mp4", seconds=0.4, width=640, height=360, rotation=rotation)).video
    assert video
    assert (video.turn, video.width, video.height) == (rotation, *((640, 360) if rotation == 180 else (360, 640)))


def test_a_missing_duration_is_measured(clip: Clip) -> None:
    assert probe(clip("a.webm", seconds=2, state_duration=False)).duration == pytest.approx(2, abs=0.05)


def test_a_recorders_clock_is_not_taken_for_a_frame_rate(clip: Clip) -> None:
    times = [number / 15 + (0.001 if number % 3 else 0) for number in range(45)]
    video = probe(clip("a.webm", times=times, seconds=3, state_duration=False)).video
    assert video
    assert video.rate <= 30


def test_the_origin_is_the_first_picture_or_sound(clip: Clip) -> None:
    assert float(probe(clip("a.mkv", start=5)).origin) == pytest.approx(5, abs=0.03)


def test_a_cover_is_not_a_film(clip: Clip) -> None:
    media = probe(clip("a.mp3", cover=True))
    assert (media.video, media.cover is not None) == (None, True)


def test_a_second_picture_track_is_left_out_with_a_note(clip: Clip, tmp_path: Path) -> None:
    path = tmp_path / "two.mkv"
    with av.open(str(clip("a.mp4", audio=False))) as source, av.open(str(path), "w") as film:
        camera, slides = (film.add_stream_from_template(source.streams.video[0]) for _ in range(2))
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = camera
                film.mux(packet)
                packet.stream = slides
                film.mux(packet)
    assert probe(path).notes == ("video track 1 was left out: a film has one, and track 0 is the default or first",)


def test_subtitles_of_text_and_of_pictures_are_told_apart(clip: Clip) -> None:
    cue = [(0.2, 1, "Bonjour")]
    media = probe(clip("a.mkv", subtitles=(Subtitles("fra", cue), Subtitles("und", cue, "hdmv_pgs_subtitle"))))
    assert [(track.language, track.is_text) for track in media.subtitles] == [("fra", True), (None, False)]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("empty.mp4", b"", "is empty: upload it again"),
        ("text.mp4", b"Dear students, this is the plan of the course.\n" * 20, "is not an audio or video file"),
        ("noise.mp4", bytes(range(1, 256)) * 200, "is not an audio or video file"),
        ("list.mp4", b"#EXTM3U\n#EXTINF:2,\n/etc/passwd\n#EXT-X-ENDLIST\n", "is not an audio or video file"),
        ("concat.mp4", b"ffconcat version 1.0\nfile /etc/passwd\n", "is not an audio or video file"),
        ("words.mp4", b"1\n00:00:01,000 --> 00:00:02,000\nhello\n\n", "is not an audio or video file"),
    ],
)
def test_what_is_no_recording_is_refused_in_one_line(tmp_path: Path, name: str, content: bytes, problem: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(BadSource) as refusal:
        probe(path)
    assert str(refusal.value).startswith(f"{path} {problem}")
    assert refusal.value.remedy
    assert "\n" not in str(refusal.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadSource, match=r"gone\.mp4 does not exist: check its name"):
        probe(tmp_path / "gone.mp4")
    with pytest.raises(BadSource, match="is a folder: name the file in it"):
        probe(tmp_path)


def test_a_picture_is_no_film(tmp_path: Path) -> None:
    from PIL import Image

    path = tmp_path / "slide.mp4"
    Image.new("RGB", (64, 64)).save(path, format="PNG")
    with pytest.raises(BadSource, match="is not an audio or video file"):
        probe(path)


def test_an_mp4_without_its_index_is_said_to_be_cut(clip: Clip, tmp_path: Path) -> None:
    path = tmp_path / "cut.mp4"
    path.write_bytes(clip("a.mp4", seconds=2).read_bytes()[:30_000])
    with pytest.raises(BadSource, match=r"was cut off: its index \(moov\), written last, is missing"):
        probe(path)


def test_an_mp4_that_is_shorter_than_its_index_is_refused_before_it_is_encoded(lecture: Any, tmp_path: Path) -> None:
    path = tmp_path / "cut.mp4"
    data = (lecture.folder / "360p.mp4").read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(BadSource, match=r"was cut off: it ends at second [5-7]\.\d of 12\.0: upload it again, whole"):
        probe(path)


def test_a_file_with_neither_sound_nor_picture_is_refused(tmp_path: Path) -> None:
    import av

    path = tmp_path / "words.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_mux_stream("subrip")
        packet: av.Packet[av.stream.Stream] = av.Packet(b"hello")
        packet.stream, packet.pts, packet.dts, packet.duration = stream, 0, 0, 1000
        container.mux_one(packet)
    with pytest.raises(BadSource, match="holds no audio or video that can be decoded"):
        probe(path)
