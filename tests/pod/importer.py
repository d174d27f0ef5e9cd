"""What Esup-Pod 4.1 makes of info_video.json: the same reads in the same order as its importer.

Encoding_video_model.py, by way of what a running Pod 4.1.0 was seen to do.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: `VideoRendition` of a fresh Pod; a height of none of them is DoesNotExist, hence a 500.
RENDITIONS = ("640x360", "1280x720", "1920x1080")


@dataclass
class Imported:
    """The rows that Pod would store."""

    duration: int = 0
    is_video: bool = True
    #: (name, encoding_format, file)
    videos: list[tuple[str, str, Path]] = field(default_factory=list)
    playlists: list[tuple[str, Path]] = field(default_factory=list)
    audios: list[tuple[str, str, Path]] = field(default_factory=list)
    tracks: list[tuple[str, Path]] = field(default_factory=list)
    thumbnail: Path | None = None
    overview: Path | None = None

    @property
    def encoded(self) -> bool:
        return bool(self.playlists or self.videos or [one for one in self.audios if one[1] == "video/mp4"])


def _there(path: str) -> bool:
    return Path(path).is_file() and Path(path).stat().st_size > 0


def load(folder: Path, *, delete_thumbnails: bool = False) -> Imported:  # noqa: C901  # one read after another, as Pod
    """Import a folder; raises what Pod would answer with a 500."""
    info: dict[str, Any] = json.loads((folder / "info_video.json").read_text())
    row = Imported(duration=int(info["duration"]))
    m4a, mp3 = info["list_m4a_files"], info["list_mp3_files"]
    row.is_video = not m4a
    row.audios += [("audio", "video/mp4", Path(path)) for path in m4a.values() if _there(path)]
    row.audios += [("audio", "audio/mp3", Path(path)) for path in mp3.values() if _there(path)]
    for height, path in info["list_mp4_files"].items():
        (_rendition,) = [one for one in RENDITIONS if f"x{height}" in one]
        if _there(path):
            row.videos.append((f"{height}p", "video/mp4", Path(path)))
    for height, path in info["list_hls_files"].items():
        (_rendition,) = [one for one in RENDITIONS if f"x{height}" in one]
        if _there(path):
            row.playlists.append((f"{height}p", Path(path)))
            segments = path.replace(".m3u8", ".ts")
            if _there(segments):
                row.videos.append((f"{height}p", "video/mp2t", Path(segments)))
    if _there(str(folder / "livestream.m3u8")):
        row.playlists.append(("playlist", folder / "livestream.m3u8"))
    for language, path in info["list_subtitle_files"].values():
        if _there(path):
            row.tracks.append((language[:2] or "fr", Path(path)))
    thumbnails = list(info["list_thumbnail_files"].values())
    for number, path in enumerate(thumbnails):
        if _there(path):
            if number == 1:
                row.thumbnail = Path(path)
            if delete_thumbnails:
                Path(path).unlink()
    overview = info["list_overview_files"]
    if overview:
        row.overview = next(Path(overview[key]) for key in ("0", "1") if ".vtt" in overview[key])
    return row
