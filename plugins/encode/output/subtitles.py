"""Subtitles that the source carries as text, one WebVTT file a track."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from plugins.encode.output.cue_text import read_cue
from plugins.encode.webvtt import clock

if TYPE_CHECKING:
    from av.packet import Packet
    from av.subtitles.stream import SubtitleStream

    from plugins.encode.film import Scene
    from plugins.encode.source.texts import SubtitleTrack


@dataclass(frozen=True)
class SubtitleCue:
    """Times in seconds of the output."""

    start: float
    end: float
    text: str


@dataclass
class SubtitleReader:
    """Collects the cues of one track while the file is read."""

    track: SubtitleTrack
    path: Path
    #: Where in the film the track's scene lies.
    scene: Scene
    cues: list[SubtitleCue] = field(default_factory=list)

    def decode(self, packet: Packet[SubtitleStream]) -> list[SubtitleCue]:
        if packet.pts is None or not packet.size:
            return []
        text, shown = read_cue(packet)
        start = float(packet.pts * packet.time_base - self.scene.shift)
        first, last = float(self.scene.at), float("inf" if self.scene.until is None else self.scene.until)
        cue = SubtitleCue(max(start, first), min(start + shown, last), text)
        return [cue] if text and cue.end > cue.start else []

    def write(self) -> None:
        cues = sorted(self.cues, key=lambda cue: cue.start)
        blocks = (f"{clock(cue.start)} --> {clock(cue.end)}\n{cue.text}\n" for cue in cues)
        self.path.write_text("\n".join(("WEBVTT\n", *blocks)))


def readers_for(tracks: Iterable[SubtitleTrack], folder: Path, scene: Scene) -> list[SubtitleReader]:
    """Name a file for each text track: `subtitle_fra.vtt`, and `subtitle_fra_2.vtt` for the second of a language."""
    seen: Counter[str] = Counter()
    readers = []
    for track in tracks:
        if track.is_text:
            language = re.sub(r"[^A-Za-z0-9-]", "", track.language or "") or "und"
            seen[language] += 1
            number = f"_{seen[language]}" if seen[language] > 1 else ""
            readers.append(SubtitleReader(track, folder / f"subtitle_{language}{number}.vtt", scene))
    return readers
