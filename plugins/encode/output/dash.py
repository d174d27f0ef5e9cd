"""The DASH manifest (ISO/IEC 23009-1) over the files that the CMAF playlists name: one file a track, by byte range."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from plugins.encode.output.hls import bandwidths, read_map, read_segments

#: Ticks a second of the segments' lengths, which playlists give to the microsecond.
_CLOCK = 1_000_000

_PROFILE = "urn:mpeg:dash:profile:isoff-main:2011"


@dataclass(frozen=True)
class DashTrack:
    """A rendition, or an audio track; what only the other has is empty."""

    playlist: Path
    segments: Path
    #: RFC 6381.
    codecs: str
    width: int = 0
    height: int = 0
    frame_rate: Fraction = Fraction(0)
    language: str | None = None
    #: What people choose it by.
    label: str = ""


def manifest(renditions: Sequence[DashTrack], sounds: Sequence[DashTrack], duration: float) -> str:
    length = f'mediaPresentationDuration="PT{duration:.3f}S" minBufferTime="PT4S"'
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        f'<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="{_PROFILE}" type="static" {length}>',
        '<Period id="0" start="PT0S">',
    ]
    # A player changes between the renditions of one codec only.
    by_codec = groupby(sorted(renditions, key=_codec), key=_codec)
    sets = [list(tracks) for _, tracks in by_codec]
    for number, tracks in enumerate(sets):
        lines.append(
            f'<AdaptationSet id="{number}" contentType="video" mimeType="video/mp4" segmentAlignment="true"'
            ' startWithSAP="1">'
        )
        for track in tracks:
            lines += _representation(track)
        lines.append("</AdaptationSet>")
    for number, track in enumerate(sounds, start=len(sets)):
        language = f" lang={quoteattr(track.language)}" if track.language else ""
        role = "main" if track.label == sounds[0].label else "alternate"
        lines += [
            f'<AdaptationSet id="{number}" contentType="audio" mimeType="audio/mp4"{language} startWithSAP="1">',
            f"<Label>{escape(track.label)}</Label>",
            f'<Role schemeIdUri="urn:mpeg:dash:role:2011" value="{role}"/>',
            *_representation(track),
            "</AdaptationSet>",
        ]
    return "\n".join([*lines, "</Period>", "</MPD>"]) + "\n"


def _codec(track: DashTrack) -> str:
    return track.codecs.split(".")[0]


def _representation(track: DashTrack) -> Iterator[str]:
    playlist = track.playlist.read_text()
    segments, head = read_segments(playlist), read_map(playlist)
    shape = (
        f' width="{track.width}" height="{track.height}"'
        f' frameRate="{track.frame_rate.numerator}/{track.frame_rate.denominator}"'
        if track.width
        else ""
    )
    name, codecs = quoteattr(track.playlist.stem), quoteattr(track.codecs)
    yield f'<Representation id={name} codecs={codecs} bandwidth="{bandwidths(playlist)[0]}"{shape}>'
    yield f"<BaseURL>{track.segments.name}</BaseURL>"
    yield f'<SegmentList timescale="{_CLOCK}">'
    yield f'<Initialization range="{head.offset}-{head.offset + head.size - 1}"/>'
    yield "<SegmentTimeline>"
    yield from (f'<S d="{round(segment.seconds * _CLOCK)}"/>' for segment in segments)
    yield "</SegmentTimeline>"
    yield from (f'<SegmentURL mediaRange="{s.offset}-{s.offset + s.size - 1}"/>' for s in segments)
    yield "</SegmentList>"
    yield "</Representation>"
