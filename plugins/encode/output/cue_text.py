"""What a packet of a text track says, as the text of a WebVTT cue.

The formats of the web's and of recorders' files are read here: libav turns all text into Advanced SubStation Alpha, and
what was a brace, a backslash or a line break before can't be told from its markup then.
"""

from __future__ import annotations

import codecs
import html
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.packet import Packet
    from av.subtitles.stream import SubtitleStream

#: Override blocks of Advanced SubStation Alpha; SubRip files have them too ("{\an8}"). Other braces are text.
_OVERRIDE = re.compile(r"\{\\[^}]*\}")

#: SubRip's tags; any other angle bracket is text.
_SUBRIP_TAG = re.compile(r"</?(?:[bius]|font\b[^<>]*)>", re.IGNORECASE)

#: What players take from Substation in SubRip files: a line break, and a hard space, which is no LaTeX (`\hbar`).
_SUBRIP_BREAK, _SUBRIP_SPACE = re.compile(r"\\N"), re.compile(r"\\h(?![a-z])")

#: WebVTT's spans and time stamps (W3C WebVTT, 4.2.2); an angle bracket with a space behind it is meant as text.
_WEBVTT_TAG = re.compile(r"</?(?:[a-z][^<>]*)?>|<\d[\d:.]*>", re.IGNORECASE)

_CHARACTER_REFERENCE = re.compile(r"&#?\w+;")

#: What libav's decoders put for "{" and for a backslash of plain text.
_BRACE, _BACKSLASH = r"\{{}", "\\\u2060"

#: Fields of an event before its text, in the order of Matroska's and libav's packets.
_ASS_FIELDS = 8


def read_cue(packet: Packet[SubtitleStream]) -> tuple[str, float]:
    """Return the text, and for how many seconds it is shown."""
    shown = float((packet.duration or 0) * packet.time_base)
    if read := _READERS.get(packet.stream.codec_context.name):
        return _cue_text(read(bytes(packet))), shown
    subtitle = packet.stream.decode2(packet)
    if subtitle is None:
        return "", 0.0
    events = (_ass(rect.ass) for rect in subtitle if hasattr(rect, "ass"))
    return _cue_text("\n".join(events)), shown or subtitle.end_display_time / 1000


def _cue_text(text: str) -> str:
    """Escape what WebVTT takes for markup, and leave out blank lines, which would end a cue."""
    lines = (line.strip() for line in text.splitlines())
    return html.escape("\n".join(line for line in lines if line), quote=False)


def _subrip(data: bytes) -> str:
    text = _SUBRIP_TAG.sub("", _OVERRIDE.sub("", data.decode(errors="replace")))
    return _SUBRIP_SPACE.sub(" ", _SUBRIP_BREAK.sub("\n", text))


def _webvtt(data: bytes) -> str:
    text = _WEBVTT_TAG.sub("", data.decode(errors="replace"))
    return _CHARACTER_REFERENCE.sub(lambda found: html.unescape(found[0]), text)


def _mov_text(data: bytes) -> str:
    """Read a sample of 3GPP Timed Text (TS 26.245, 5.17): a length, the text, boxes of styles."""
    text = data[2 : 2 + int.from_bytes(data[:2], "big")]
    is_utf_16 = text.startswith((codecs.BOM_UTF16_BE, codecs.BOM_UTF16_LE))
    return _OVERRIDE.sub("", text.decode("utf-16" if is_utf_16 else "utf-8", errors="replace"))


def _ass(event: bytes) -> str:
    text = event.decode(errors="replace").split(",", _ASS_FIELDS)[-1]
    return _UNESCAPE.sub(lambda found: _MEANINGS.get(found[0], ""), text)


#: Of Advanced SubStation Alpha; an override block means nothing here.
_MEANINGS: Mapping[str, str] = {
    _BRACE: "{",
    _BACKSLASH: "\\",
    r"\N": "\n",
    r"\n": "\n",
    r"\h": " ",
    r"\{": "{",
    r"\}": "}",
}
_UNESCAPE = re.compile("|".join([*map(re.escape, _MEANINGS), _OVERRIDE.pattern]))

#: By the name of libav's decoder.
_READERS: Mapping[str, Callable[[bytes], str]] = {
    "srt": _subrip,
    "subrip": _subrip,
    "webvtt": _webvtt,
    "mov_text": _mov_text,
    "ssa": _ass,
    "ass": _ass,
}
