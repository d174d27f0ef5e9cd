"""`info_video.json`, from which Esup-Pod 4.1 imports what was made (Encoding_video_model.py)."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plugins.encode.audio.encoders import M4A_RATE
from plugins.encode.film import Film
from plugins.encode.options import EncodeOptions
from plugins.encode.output.package import Encoded
from plugins.encode.output.subtitles import SubtitleReader


@dataclass(frozen=True)
class Made:
    """The files that Pod is told of."""

    renditions: Sequence[Encoded]
    audio: Sequence[Path]
    thumbnails: Sequence[Path]
    overview: Sequence[Path]
    subtitles: Sequence[SubtitleReader]


def pod_manifest(
    film: Film,
    options: EncodeOptions,
    made: Made,
    duration: float,
    published: Path,
    attributes: Mapping[str, Any],
    start: float,
) -> str:
    """Write the manifest's text.

    Pod reads absolute paths of the files' last place. A rendition's key must be a height of its VideoRendition table,
    so one lower than the profile's lowest (a 240-line source with profile `lecture`) is not listed.

    :param published: folder in which the files will finally lie.
    :param attributes: the portal's own words; its `video_id` is kept.
    :param start: when the encode began, seconds since 1970.
    """

    def place(path: Path) -> str:
        return str(published / path.name)

    media, dressing = film.media, options.dressing
    heights = {rung.height for rung in options.ladder.renditions}
    known = [
        done for done in made.renditions if done.rendition.height in heights and done.rendition.spec.codec == "h264"
    ]
    audio = {path.suffix: {f"{M4A_RATE // 1000}k": place(path)} for path in made.audio}
    manifest = {
        "id": attributes.get("video_id", 0),
        "video_file": str(media.path),
        "duration": int(duration),
        "list_video_track": {str(v.index): {"width": v.width, "height": v.height} for v in [media.video] if v},
        "list_audio_track": {
            str(a.index): {"sample_rate": str(a.sample_rate), "channels": a.channels}
            for a in (media.audio, *media.other_audio)
            if a
        },
        "list_subtitle_track": {str(s.index): {"language": s.language or ""} for s in media.subtitles},
        "list_image_track": {} if media.cover is None else {str(media.cover): {}},
        "list_mp4_files": {str(done.rendition.height): place(done.mp4) for done in known if done.mp4},
        "list_hls_files": {str(done.rendition.height): place(done.playlist) for done in known},
        "list_mp3_files": audio.get(".mp3", {}),
        "list_m4a_files": audio.get(".m4a", {}),
        "list_thumbnail_files": {str(n): place(path) for n, path in enumerate(made.thumbnails, start=1)},
        "list_overview_files": {str(n): place(path) for n, path in enumerate(made.overview)},
        "list_subtitle_files": {
            str(reader.track.index): [reader.track.language or "", place(reader.path)] for reader in made.subtitles
        },
        "encoding_log": {},
        "output_dir": str(published),
        "start": time.ctime(start),
        "stop": time.ctime(),
        "error_encoding": False,
        "cutting_start": options.cut_start,
        "cutting_stop": options.cut_end,
        "json_dressing": dressing.model_dump(mode="json") if film.is_dressed else None,
        "dressing_input": "",
    }
    return json.dumps(manifest, indent=2) + "\n"
