"""What the player is told of a job, and its words."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from core import Artifact, State
from core.model import Manifest, ManifestStep
from core.testing import fake_job
from core.web.player import part, player_context
from core.web.player.rendering import HERE, words

HLS = "application/vnd.apple.mpegurl"


def manifest(*artifacts: Artifact) -> Manifest:
    steps = {"encode": ManifestStep(state=State.SUCCEEDED, artifacts=artifacts)}
    return Manifest(job=fake_job(Path("/films/Cours 1.mkv")), state=State.SUCCEEDED, run=1, steps=steps)


def film(name: str, height: int, *, codecs: str | None = None, width: int = 0) -> Artifact:
    kind, media_type = ("playlist", HLS) if name.endswith("m3u8") else ("rendition", "video/mp4")
    size = {"width": width or height * 16 // 9, "height": height}
    return Artifact(kind=kind, path=name, media_type=media_type, codecs=codecs, **size)


def test_streams_begin_with_the_one_that_adapts_and_files_with_the_best() -> None:
    context = player_context(
        manifest(
            *(film("360p.mp4", 360), film("360p.m3u8", 360), film("720p.mp4", 720, codecs="avc1.64001f,mp4a.40.2")),
            *(
                film("1080p.m3u8", 1080),
                Artifact(kind="master", path="manifest.mpd", media_type="application/dash+xml"),
            ),
            Artifact(kind="master", path="livestream.m3u8", media_type=HLS),
        ),
        "/files/",
    )
    assert [(one.label, one.src, one.height) for one in context.streams] == [
        ("Auto", "/files/livestream.m3u8", None),
        ("1080p", "/files/livestream.m3u8", 1080),
        ("360p", "/files/livestream.m3u8", 360),
    ]
    assert [(one.label, one.type) for one in context.files] == [
        ("720p", 'video/mp4; codecs="avc1.64001f,mp4a.40.2"'),
        ("360p", "video/mp4"),
    ]
    assert (context.title, context.is_video, context.width, context.height) == ("Cours 1", True, 1920, 1080)


def test_a_quality_is_named_by_the_short_side_and_by_a_codec_that_few_play() -> None:
    sizes = manifest(film("a.mp4", 640, width=360), film("b.mp4", 360, codecs="av01.0.04M.08"))
    assert [one.label for one in player_context(sizes, "").files] == ["360p", "360p AV1"]


def test_sound_alone_is_played_as_its_files() -> None:
    context = player_context(manifest(Artifact(kind="audio", path="a.mp3", media_type="audio/mpeg")), "files")
    assert not context.is_video
    assert [(one.label, one.src) for one in context.files] == [("MP3", "files/a.mp3")]


@pytest.mark.parametrize("name", ["50% of #1?.mp4", "javascript:alert(1)", 'a"><script>x</script>.mp4'])
def test_a_name_is_no_more_than_a_name_in_an_address(name: str) -> None:
    made = manifest(Artifact(kind="rendition", path=name, media_type="video/mp4", height=90))
    (choice,) = player_context(made, "files").files
    assert re.fullmatch(r"files/[\w%./~-]+", choice.src)
    assert "<script>x" not in part(player_context(made, "files"), static_url="/static")


def test_captions_that_say_nothing_are_left_out() -> None:
    empty = Artifact(kind="caption", path="a.vtt", media_type="text/vtt", size=len("WEBVTT\n"), language="en")
    said = empty.model_copy(update={"path": "b.vtt", "size": 60})
    assert [one.src for one in player_context(manifest(empty, said), "x").captions] == ["x/b.vtt"]


def test_each_text_of_the_player_is_there_in_french() -> None:
    template = (HERE / "part.html").read_text()
    modules = "".join(path.read_text() for path in (HERE.parent / "static/player").glob("*.js"))
    asked = [single or double for single, double in re.findall(r"""_\((?:'([^']+)'|"([^"]+)")\)""", template)]
    asked += re.findall(r'word\("([^"]+)"\)', modules)
    assert len(asked) > 20
    assert set(asked) <= set(words()["fr"])


def test_a_page_may_bring_words_of_its_own() -> None:
    made = player_context(manifest(film("360p.mp4", 360)), "files")
    html = part(made, static_url="/static", language="de", translate=lambda text: f"«{text}»")
    assert 'aria-label="«Quality»"' in html
    (data,) = re.findall(r'class="player-data">(.*)</script>', html)
    assert json.loads(data)["language"] == "de"
