"""A page that plays what a job has made: one HTML file beside the media, opened from the disk."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from core.errors import WouldReplace
from core.model import Artifact, Manifest, Transcript
from core.printable import printable
from core.storage import files
from core.storage.job_folder import JobFolder
from core.web import player
from core.web.player.context import Choice, Spoken, context_of, downloads_of, relative_url

NAME = "watch.html"

#: What browsers play as it is, for a film of which nothing was encoded.
_PLAYABLE = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".webm": "video/webm",
    ".mp3": "audio/mpeg",
    ".m4a": "audio/mp4",
    ".ogg": "audio/ogg",
    ".wav": "audio/wav",
    ".flac": "audio/flac",
}


def check(home: Path, *, replace: bool) -> None:
    """Refuse to replace a page that isn't ours.

    Raises:
        WouldReplace
    """
    page = home / NAME
    if page.exists() and not replace and 'content="Amphipod"' not in page.read_text(encoding="utf-8", errors="replace"):
        raise WouldReplace(f"{page}: is there already, and no page of ours", remedy="leave out --page, or --replace")


def write(manifest: Manifest, folder: JobFolder) -> Path:
    """Write the page where the job's files are, or into its own folder, and return its path."""
    home = manifest.published_in or folder.path
    check(home, replace=manifest.job.replace)
    page = home / NAME
    files.write_replacing(page, printable(render(manifest, folder, home)), mode=0o666)
    return page


def render(manifest: Manifest, folder: JobFolder, home: Path) -> str:
    """Return the page; its links are relative to `home`. Texts stand in it: a page from the disk may read no file."""
    places = dict(_places(manifest, folder))
    index = next(iter(manifest.find("sprite_index")), None)

    def address(artifact: Artifact) -> str:
        if artifact.media_type == "text/vtt":
            return _inside(places[artifact], prefix=_link(places[artifact].parent, home) if artifact == index else "")
        return _link(places[artifact], home)

    context = context_of(manifest, address)
    if not context.has_media:
        context = context.model_copy(update=_source(manifest.job.source.path))
    own = {
        "transcripts": tuple(_spoken(manifest, places)),
        "downloads": downloads_of(manifest, lambda artifact: _link(places[artifact], home)),
    }
    return player.page(context.model_copy(update=own))


def _places(manifest: Manifest, folder: JobFolder) -> Iterator[tuple[Artifact, Path]]:
    for step in manifest.steps.values():
        for artifact in step.artifacts:
            yield artifact, (manifest.published_in or folder.path / (step.folder or "")) / artifact.path


def _link(path: Path, home: Path) -> str:
    return relative_url(os.path.relpath(path, home))


def _inside(path: Path, *, prefix: str) -> str:
    """Return WebVTT as an address that holds it; `prefix` is where the pictures are that an index names."""
    text = path.read_text(encoding="utf-8")
    if prefix:
        text = re.sub(r"^(?=[^\n]+#xywh=)", f"{prefix}/", text, flags=re.MULTILINE)
    return f"data:text/vtt;charset=utf-8,{quote(text)}"


def _spoken(manifest: Manifest, places: Mapping[Artifact, Path]) -> Iterator[Spoken]:
    """Read what the transcripts say; the times of single words are left out."""
    for found in manifest.find("transcript"):
        if found.media_type == "application/json":
            heard = Transcript.model_validate_json(places[found].read_bytes())
            lines = tuple(segment.model_copy(update={"words": ()}) for segment in heard.segments)
            yield Spoken(language=heard.language, segments=lines)


def _source(path: Path) -> dict[str, Any]:
    """Return the source as what is played, if a browser can and it is here."""
    kind = _PLAYABLE.get(path.suffix.lower())
    if not kind or not path.is_file():
        return {}
    choice = Choice(label=path.suffix[1:].upper(), src=path.resolve().as_uri(), type=kind)
    return {"files": (choice,), "is_video": kind.startswith("video/")}
