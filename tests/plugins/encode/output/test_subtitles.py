from __future__ import annotations

import html
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


#: What stands in a packet of each format, and what it says.
FORMATS: dict[tuple[str, str], list[tuple[str, str]]] = {
    ("a.mkv", "subrip"): [
        ("Let S = {1, 2} and T = {}", "Let S = {1, 2} and T = {}"),
        (r"{\an8}{\i1}top{\i0} {unclosed", "top {unclosed"),
        ('<i>if</i> <font color="red">a</font> < b > c & d', "if a < b > c & d"),
        ("List<int> &amp; <p>", "List<int> &amp; <p>"),
        ("one\r\ntwo\\Nthree\\h four", "one\ntwo\nthree  four"),
        (r"\nabla f = \hbar, C:\temp", r"\nabla f = \hbar, C:\temp"),
    ],
    ("a.webm", "webvtt"): [
        ("Let S = {1, 2} and T = {}", "Let S = {1, 2} and T = {}"),
        (r"\frac{1}{2} {\alpha} C:\new\home", r"\frac{1}{2} {\alpha} C:\new\home"),
        ("<v Bob><i.loud>if</i> <00:00:00.500>a &lt; b &amp;&amp; c", "if a < b && c"),
        ("a < b > c & d", "a < b > c & d"),
        ("one\ntwo&nbsp;&eacute;&#233;", "one\ntwo\xa0éé"),
    ],
    ("a.mp4", "mov_text"): [
        ("Let S = {1, 2} and T = {}", "Let S = {1, 2} and T = {}"),
        (r"{\an8}top {unclosed", "top {unclosed"),
        ("a < b > c & d &amp; <i>", "a < b > c & d &amp; <i>"),
        ("one\ntwo", "one\ntwo"),
        (r"\nabla f = \hbar, C:\new", r"\nabla f = \hbar, C:\new"),
    ],
    ("a.mkv", "ass"): [
        ("0,0,Default,,0,0,0,,Let S = {1, 2}, and T = {}", "Let S = {1, 2}, and T = {}"),
        (r"1,0,Default,,0,0,0,,{\i1\b1}bold{\i0}, \{x\}", "bold, {x}"),
        ("2,0,Default,,0,0,0,,a < b > c & d", "a < b > c & d"),
        (r"3,0,Default,,0,0,0,,one\Ntwo\nthree\hfour", "one\ntwo\nthree four"),
    ],
}


@pytest.mark.parametrize(("name", "codec"), FORMATS)
def test_each_format_keeps_its_text_and_loses_only_its_markup(
    clip: Clip, encode: Encode, name: str, codec: str
) -> None:
    texts = FORMATS[name, codec]
    lines = [(number / 10, number / 10 + 0.1, given) for number, (given, _) in enumerate(texts)]
    encoded = encode(clip(name, seconds=1, width=160, height=90, subtitles=(Subtitles("eng", lines, codec),)))

    written = (encoded.folder / "subtitle_eng.vtt").read_text(encoding="utf-8").split("\n\n")[1:]
    shown = [html.unescape(block.strip("\n").split("\n", 1)[1]) for block in written]
    assert shown == [said for _, said in texts]
    assert "<" not in "".join(written).replace("-->", "")


def test_text_that_is_no_unicode_is_read_as_far_as_it_goes(clip: Clip, encode: Encode) -> None:
    """libav's decoder refuses the cue."""
    track = Subtitles("fra", [(0, 1, "\udce9t\udce9")], "subrip")
    encoded = encode(clip("a.mkv", seconds=1, width=160, height=90, subtitles=(track,)))
    assert cues(encoded.folder / "subtitle_fra.vtt")[0][2] == "\ufffdt\ufffd"


def test_a_subtitle_that_outlasts_the_film_is_no_loss_of_the_film(clip: Clip, encode: Encode) -> None:
    track = Subtitles("fra", [(0, 5, "merci")], "subrip")
    assert encode(clip("a.mkv", seconds=2, width=160, height=90, subtitles=(track,))).output.notes == ()


def test_subtitles_made_of_pictures_are_left_out_with_a_note(clip: Clip, encode: Encode) -> None:
    encoded = encode(clip("a.mkv", subtitles=(Subtitles("fra", [(0, 1, "x")], "hdmv_pgs_subtitle"),)))
    assert encoded.files("subtitle") == []
    assert "subtitle track 2 is made of pictures, not text, and was left out" in encoded.output.notes


def test_a_language_that_is_no_word_can_not_leave_the_folder(clip: Clip, encode: Encode) -> None:
    encoded = encode(clip("a.mkv", subtitles=(Subtitles("../../x", [(0, 1, "x")]),)))
    assert [path.parent for path in encoded.files("subtitle")] == [encoded.folder]
