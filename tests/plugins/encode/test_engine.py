from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import plugins.encode
from plugins.encode.options import EncodeOptions

Clip = Callable[..., Path]
Encode = Callable[..., Any]


def test_every_file_is_an_artifact_of_a_known_kind(lecture: Any) -> None:
    kinds = [(artifact.kind, artifact.path) for artifact in lecture.output.artifacts]
    assert kinds == [
        ("rendition", "360p.mp4"),
        ("playlist", "360p.m3u8"),
        ("segment", "360p.ts"),
        ("rendition", "720p.mp4"),
        ("playlist", "720p.m3u8"),
        ("segment", "720p.ts"),
        ("master", "livestream.m3u8"),
        ("audio", "audio_192k.mp3"),
        ("thumbnail", "thumbnail_0001.png"),
        ("thumbnail", "thumbnail_0002.png"),
        ("thumbnail", "thumbnail_0003.png"),
        ("sprite", "overview.png"),
        ("sprite_index", "overview.vtt"),
        ("info", "info_video.json"),
    ]
    assert {path.name for path in lecture.folder.iterdir()} == {path for _, path in kinds}


def test_a_rendition_is_described_to_the_portal(lecture: Any) -> None:
    film = lecture.artifacts("rendition")[1]
    size = (lecture.folder / film.path).stat().st_size
    assert (film.media_type, film.width, film.height, film.frames) == ("video/mp4", 1280, 720, 300)
    assert film.codecs == "avc1.64001f,mp4a.40.2"
    assert film.duration == pytest.approx(12, abs=0.05)
    assert film.bit_rate == pytest.approx(size * 8 / 12, rel=0.01)


def test_the_facts_are_what_a_later_step_asks_for(lecture: Any) -> None:
    assert lecture.output.facts == {
        "duration": pytest.approx(12, abs=0.05),
        "has_audio": True,
        "has_video": True,
        "width": 1280,
        "height": 720,
        "frame_rate": 25.0,
    }
    assert lecture.output.notes == ()


def test_a_rendition_of_an_institution_comes_out(clip: Clip, encode: Encode) -> None:
    own = [{"height": 144, "max_rate": "300k", "audio_rate": "64k", "mp4": False}]
    encoded = encode(clip("a.mp4"), renditions=own)
    assert [film.name for film in encoded.films] == ["144p.m3u8"]


def test_x264_is_given_pods_settings(clip: Clip, encode: Encode) -> None:
    encoded = encode(clip("a.mp4", seconds=0.6, width=1280, height=720), preset="slow")
    data = (encoded.folder / "720p.mp4").read_bytes()
    options = data[data.index(b"options: ") :].split(b"\0")[0].decode(errors="replace").split()
    # What x264 itself records in the stream of a 720p film that Pod 4.1 makes.
    pods = """
        ref=2 subme=8 trellis=2 me=hex bframes=3 b_pyramid=2 b_adapt=1 direct=3 weightp=2 scenecut=0 rc_lookahead=50
        rc=crf crf=20.0 vbv_maxrate=3000 vbv_bufsize=3000 sliced_threads=0 open_gop=0
    """
    assert set(pods.split()) <= set(options)


def test_the_hook_describes_the_options_of_its_own_step_only() -> None:
    assert plugins.encode.plugin.options_schema("encode") is EncodeOptions
    assert plugins.encode.plugin.options_schema("transcribe") is None


def test_importing_the_plugin_imports_neither_av_nor_pillow() -> None:
    code = "import sys, plugins.encode; print({'av', 'PIL'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"


def test_without_pyav_the_plugin_says_what_to_install() -> None:
    code = """
import sys
import core, core.settings, plugins.encode

sys.path = [path for path in sys.path if "site-packages" not in path]
try:
    plugins.encode.plugin.configure(core.settings.Settings())
except core.PluginUnavailable as error:
    print(error)
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "pip install 'amphipod[encode]'"
