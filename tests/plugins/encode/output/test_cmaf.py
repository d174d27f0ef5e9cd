"""Fragmented MP4 for HLS and DASH: the same packets in files by track, named by two manifests that agree."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest

from plugins.encode.output.hls import read_segments
from plugins.encode.profiles import LECTURE

Clip = Callable[..., Path]
Encode = Callable[..., Any]
Ffmpeg = Callable[..., None]

MPD = "{urn:mpeg:dash:schema:mpd:2011}"

CMAF = LECTURE.model_copy(update={"segments": "cmaf", "name": "cmaf"}).model_dump(mode="json")


@pytest.fixture(scope="module")
def streamed(clip: Clip, encode: Encode, tmp_path_factory: pytest.TempPathFactory, ffmpeg: Ffmpeg) -> Any:
    """Nine seconds of 720 lines with two languages."""
    source = tmp_path_factory.mktemp("cmaf") / "two.mkv"
    film = clip("film.mp4", seconds=9, width=1280, height=720)
    languages = ["-metadata:s:a:0", "language=fra", "-metadata:s:a:1", "language=eng"]
    ffmpeg(
        "-i",
        film,
        "-f",
        "lavfi",
        "-i",
        "sine=f=900:d=9",
        "-map",
        "0",
        "-map",
        "1:a",
        "-c:v",
        "copy",
        *languages,
        source,
    )
    return encode(source, profile=CMAF)


def test_picture_and_sound_are_files_of_their_own(streamed: Any, look: Any) -> None:
    names = {path.name for path in streamed.folder.iterdir()}
    assert {"360p.m3u8", "360p.m4s", "720p.m3u8", "720p.m4s", "audio_fra.m4s", "audio_eng.m4s", "manifest.mpd"} <= names
    assert not [name for name in names if name.endswith(".ts")]
    for path in (*streamed.films, *streamed.files("audio_playlist")):
        assert look(path).faults == (), path.name
    for path in streamed.files("playlist"):
        assert (len(look(path).frames), look(path).sound_end) == (225, 0), path.name


def test_packets_are_those_of_the_mp4(streamed: Any) -> None:
    def packets(path: Path, kind: str) -> list[bytes]:
        with av.open(str(path)) as container:
            stream = container.streams.get(**{kind: 0})[0]
            return [bytes(packet) for packet in container.demux(stream) if packet.size]

    assert packets(streamed.folder / "720p.mp4", "video") == packets(streamed.folder / "720p.m3u8", "video")
    assert packets(streamed.folder / "720p.mp4", "audio") == packets(streamed.folder / "audio_fra.m3u8", "audio")


def test_segments_hold_whole_keyframe_intervals_and_sound_starts_with_the_picture(streamed: Any, look: Any) -> None:
    for path in streamed.files("playlist"):
        lengths = [segment.seconds for segment in read_segments(path.read_text())]
        assert lengths == pytest.approx([2, 2, 2, 2, 1.022], abs=0.001)  # the sound ends last
        starts = [0, *itertools.accumulate(lengths)][:-1]
        made = look(path)
        keyframes = [time - made.frames[0] for time in made.keyframes]
        assert all(any(abs(start - key) < 0.001 for key in keyframes) for start in starts)
    sound = look(streamed.folder / "audio_fra.m3u8")
    assert sound.sound_start == pytest.approx(0, abs=0.001), "the priming is cut by an edit list"
    assert sound.sound_end == pytest.approx(9, abs=0.025)


def test_the_manifest_names_every_byte(streamed: Any) -> None:
    root = ET.parse(streamed.folder / "manifest.mpd").getroot()
    assert root.get("mediaPresentationDuration") == f"PT{streamed.output.facts['duration']:.3f}S"
    found = {}
    for representation in root.iter(f"{MPD}Representation"):
        file = streamed.folder / (representation.findtext(f"{MPD}BaseURL") or "")
        ranges = [representation.find(f".//{MPD}Initialization").get("range")]  # type: ignore[union-attr]
        ranges += [segment.get("mediaRange") for segment in representation.iter(f"{MPD}SegmentURL")]
        bounds = [tuple(map(int, (span or "").split("-"))) for span in ranges]
        assert bounds[0][0] == 0
        assert all(before[1] + 1 == after[0] for before, after in itertools.pairwise(bounds))
        assert bounds[-1][1] + 1 == file.stat().st_size
        assert len(list(representation.iter(f"{MPD}S"))) == len(ranges) - 1
        found[file.name] = representation.get("codecs")
    assert found == {
        "360p.m4s": "avc1.64001e",
        "720p.m4s": "avc1.64001f",
        "audio_fra.m4s": "mp4a.40.2",
        "audio_eng.m4s": "mp4a.40.2",
    }
    sets = [(s.get("contentType"), s.get("lang")) for s in root.iter(f"{MPD}AdaptationSet")]
    assert sets == [("video", None), ("audio", "fra"), ("audio", "eng")]


def test_the_master_offers_the_default_language_first(streamed: Any) -> None:
    master = (streamed.folder / "livestream.m3u8").read_text()
    choices = [line.split("NAME=")[1] for line in master.splitlines() if line.startswith("#EXT-X-MEDIA")]
    assert choices == [
        '"fra",LANGUAGE="fra",DEFAULT=YES,AUTOSELECT=YES,URI="audio_fra.m3u8"',
        '"eng",LANGUAGE="eng",DEFAULT=NO,AUTOSELECT=YES,URI="audio_eng.m3u8"',
    ]


def test_a_silent_film_has_no_audio_track(clip: Clip, encode: Encode, look: Any) -> None:
    silent = encode(clip("silent.mp4", audio=False), profile=CMAF)
    assert look(silent.films[0]).faults == ()
    assert "audio" not in (silent.folder / "manifest.mpd").read_text()
    assert "#EXT-X-MEDIA:" not in (silent.folder / "livestream.m3u8").read_text()
