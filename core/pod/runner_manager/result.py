"""What an Esup-Pod of the runner managers' generation fetches of a finished job: names, digests, its info_video.json.

Its importer knows a rendition by the first three characters of the file's name, and takes what it does not know for
360p (runner_manager_utils.get_encoding_choice_from_filename): such a height gets the name of the nearest one below.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.model import Artifact, Manifest
from core.storage.job_folder import JobFolder

#: Heights in Pod's ENCODING_CHOICES.
_KNOWN = (360, 480, 720, 1080)

#: What Pod makes itself, or must not see; `info` is replaced by the other schema.
_LEFT_OUT = ("info", "master", "film")

INFO = "info_video.json"


@dataclass(frozen=True)
class File:
    """One file of a result: it lies somewhere, or is written for Pod."""

    name: str
    media_type: str
    sha256: str
    path: Path | None = None
    text: str | None = None


def files(folder: JobFolder, whole: Manifest) -> list[File]:
    """Return what Pod may fetch; of captions the spoken language's alone, because Pod takes the last."""
    found: list[File] = []
    for path, artifact in _artifacts(folder, whole):
        name = pod_name(artifact.path)
        if artifact.kind == "caption" and (
            not name.endswith(".vtt") or any(one.name.endswith(".vtt") for one in found)
        ):
            continue
        if artifact.kind == "playlist" and name != artifact.path:
            stem, new = Path(artifact.path).stem, Path(name).stem
            found.append(_written(name, artifact.media_type, path.read_text().replace(f"{stem}.ts", f"{new}.ts")))
        else:
            found.append(File(name, artifact.media_type, artifact.sha256 or "", path))
    for path, artifact in _artifacts(folder, whole, "film"):
        found.append(File("studio_base.mp4", artifact.media_type, artifact.sha256 or "", path))
    if "encode" in whole.steps:
        found.append(_written(INFO, "application/json", json.dumps(_info(whole), indent=2) + "\n"))
    return found


def pod_name(name: str) -> str:
    """Return a file's name as Pod's importer reads it right."""
    height = re.match(r"(\d+)p\.", name)
    if height is None or int(height[1]) in _KNOWN:
        return name
    nearest = max((one for one in _KNOWN if one <= int(height[1])), default=_KNOWN[0])
    return f"{nearest}p_{name}"


def _artifacts(folder: JobFolder, whole: Manifest, kind: str | None = None) -> Iterator[tuple[Path, Artifact]]:
    for step in whole.steps.values():
        for artifact in step.artifacts:
            wanted = artifact.kind not in _LEFT_OUT if kind is None else artifact.kind == kind
            if step.folder and wanted:
                yield folder.path / step.folder / artifact.path, artifact


def _written(name: str, media_type: str, text: str) -> File:
    return File(name, media_type, hashlib.sha256(text.encode()).hexdigest(), text=text)


def _info(whole: Manifest) -> dict[str, Any]:
    """Return info_video.json in the schema of the runner managers."""
    resolutions = whole.job.attributes.get("resolutions", {})
    pictures = [one for one in whole.artifacts if one.kind in ("rendition", "playlist") and one.height]
    sound = [one for one in whole.artifacts if one.kind == "audio"]
    thumbnails = [one for one in whole.artifacts if one.kind == "thumbnail"]
    return {
        "duration": int(whole.steps["encode"].facts.get("duration", 0)),
        "has_stream_video": bool(pictures),
        "has_stream_audio": bool(sound),
        "has_stream_thumbnail": bool(thumbnails),
        "encode_video": [
            {
                "encoding_format": "video/mp4" if one.kind == "rendition" else "video/mp2t",
                "rendition": resolutions.get(str(one.height), f"{one.width}x{one.height}"),
                "filename": pod_name(one.path),
            }
            for one in pictures
        ],
        "encode_audio": [
            {"encoding_format": "audio/mp3" if one.path.endswith(".mp3") else "video/mp4", "filename": one.path}
            for one in sound
        ],
        "encode_thumbnail": [{"filename": one.path} for one in thumbnails],
    }
