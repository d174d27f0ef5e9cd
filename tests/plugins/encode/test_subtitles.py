from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import webvtt

from core.testing import Subtitles

Clip = Callable[..., Path]
Encode = Callable[..., Any]


def cues(path: Path) -> list[tuple[str, str, str]]:
    return [(caption.start, caption.end, caption.text) for caption in webvtt.read(str(path)).captions]


@pytest.mark.parametrize(("name", "codec"), [("a.mkv", "subrip"), ("a.mp4", "mov_text"), ("a.mkv", "webvtt")])
def test_an_embedded_text_track_becomes_webvtt(clip: Clip, encode: Encode, name: str, codec: str) -> None:
    track = Subtitles("fra", [(0.5, 1.0, "Bonjour"), (1.0, 1.75, "à tous\net à toutes")], codec)
    encoded = encode(clip(name, subtitles=(track,)))
    assert cues(encoded.folder / "subtitle_fra.vtt") == [
        ("00:00:00.500", "00:00:01.000", "Bonjour"),
        ("00:00:01.000", "00:00:01.750", "à tous\net à toutes"),
    ]
    assert [artifact.language for artifact in encoded.artifacts("subtitle")] == ["fra"]


def test_two_tracks_of_one_language_do_not_overwrite_each_other(clip: Clip, encode: Encode) -> None:
    tracks = (Subtitles("fra", [(0, 1, "un")]), Subtitles("fra", [(0, 1, "deux")]))
    encoded = encode(clip("a.mkv", subtitles=tracks))
    texts = {path.name: cues(path)[0][2] for path in encoded.files("subtitle")}
    assert texts == {"subtitle_fra.vtt": "un", "subtitle_fra_2.vtt": "deux"}


def test_cues_follow_a_start_that_is_not_zero(clip: Clip, encode: Encode) -> None:
    encoded = encode(clip("a.mkv", start=5, subtitles=(Subtitles("eng", [(0.5, 1, "here")]),)))
    start, _, _ = cues(encoded.folder / "subtitle_eng.vtt")[0]
    assert float(start.split(":")[2]) == pytest.approx(0.5, abs=0.03)


def test_styles_go_and_what_webvtt_would_take_for_markup_is_escaped(clip: Clip, encode: Encode) -> None:
    track = Subtitles("eng", [(0, 1, "<i>if</i> a < b && c")])
    encoded = encode(clip("a.mkv", subtitles=(track,)))
    assert "if a &lt; b &amp;&amp; c" in (encoded.folder / "subtitle_eng.vtt").read_text()


def test_subtitles_made_of_pictures_are_left_out_with_a_note(clip: Clip, encode: Encode) -> None:
    encoded = encode(clip("a.mkv", subtitles=(Subtitles("fra", [(0, 1, "x")], "hdmv_pgs_subtitle"),)))
    assert encoded.files("subtitle") == []
    assert "subtitle track 2 is made of pictures, not text, and was left out" in encoded.output.notes


def test_a_language_that_is_no_word_can_not_leave_the_folder(clip: Clip, encode: Encode) -> None:
    encoded = encode(clip("a.mkv", subtitles=(Subtitles("../../x", [(0, 1, "x")]),)))
    assert [path.parent for path in encoded.files("subtitle")] == [encoded.folder]
