"""The tracks of a scene while it is read: who takes what is in them, and what of it is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from plugins.media.coverage import Hole, NoCoverage, PictureCoverage, SoundCoverage, stated_end
from plugins.media.decoding import Damaged, damage, decode

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet

    from plugins.encode.film import Scene
    from plugins.encode.output.subtitles import SubtitleReader
    from plugins.encode.source.video_track import VideoTrack

Decode = Callable[[Any], Sequence[Any]]
Take = Callable[[Any], None]

#: Names of what a note says is missing.
PICTURES, SOUND = "pictures", "sound"


@dataclass(frozen=True)
class Track:
    """A track of the file, and who takes what is in it."""

    name: str
    coverage: SoundCoverage | PictureCoverage | NoCoverage
    decode: Decode
    put: Take

    @classmethod
    def of_pictures(cls, video: VideoTrack, put: Take) -> Track:
        return cls(PICTURES, PictureCoverage(video.rate), decode, put)

    @classmethod
    def of_sound(cls, put: Take, name: str = SOUND) -> Track:
        return cls(name, SoundCoverage(), decode, put)

    @classmethod
    def of_subtitles(cls, reader: SubtitleReader) -> Track:
        def decode_cues(packet: Packet[Any]) -> Sequence[Any]:
            with damage():
                return reader.decode(packet)

        return cls("subtitles", NoCoverage(), decode_cues, reader.cues.extend)

    def take(self, packet: Packet[Any]) -> None:
        """Decode a packet and hand on what is in it; raises Damaged."""
        self.coverage.demuxed(packet)
        for piece in self.decode(packet):
            span = self.coverage.span(piece)
            self.put([piece])
            self.coverage.covered(span)


class Tracks:
    """Those of one file, by their indexes."""

    def __init__(self, tracks: Mapping[int, Track]) -> None:
        self._tracks = tracks
        #: Packets that couldn't be decoded, and places where the file is broken.
        self.damaged = 0

    @property
    def indexes(self) -> Iterable[int]:
        return self._tracks.keys()

    def take(self, packet: Packet[Any]) -> None:
        """Decode a packet and hand on what is in it, unless it is damaged."""
        track = self._tracks[packet.stream.index]
        try:
            track.take(packet)
        except Damaged:
            self.damaged += 1
            track.coverage.damaged()

    def on_damage(self) -> None:
        """Take note that the file is broken where it is read just now."""
        self.damaged += 1
        for track in self._tracks.values():
            track.coverage.damaged()

    def holes(self, container: InputContainer, scene: Scene) -> dict[str, list[Hole]]:
        """Return what is missing of each, in seconds of the film, once all is read."""
        found: dict[str, list[Hole]] = {}
        silent: list[Hole] | None = None
        for index, track in self._tracks.items():
            if isinstance(track.coverage, SoundCoverage):
                found[track.name] = track.coverage.finish(stated_end(container.streams[index]))
                silent = [*(silent or ()), *found[track.name]]
        for index, track in self._tracks.items():
            if isinstance(track.coverage, PictureCoverage):
                found[track.name] = track.coverage.finish(stated_end(container.streams[index]), silent)
        return {name: in_film(scene, holes) for name, holes in found.items() if holes}


def in_film(scene: Scene, holes: Iterable[Hole]) -> list[Hole]:
    """Bring holes in a scene's source to the time of the film; what the scene leaves out is no loss."""
    until = scene.until
    moved = ((max(start - scene.shift, scene.at), end - scene.shift) for start, end in holes)
    if until is not None:
        moved = ((start, min(end, until)) for start, end in moved)
    return [(start, end) for start, end in moved if end > start]
