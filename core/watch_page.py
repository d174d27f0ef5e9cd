"""A page that plays what a job has made: one HTML file beside the media, opened from the disk."""

from __future__ import annotations

import html
from pathlib import Path
from string import Template
from urllib.parse import quote

from core import storage
from core.errors import WouldReplace
from core.model import Artifact, Manifest
from core.storage import JobFolder

NAME = "watch.html"

_PAGE = Template("""\
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="generator" content="Amphipod">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
  body { margin: 2rem auto; max-width: 60rem; padding: 0 1rem; font: 1rem/1.5 system-ui, sans-serif }
  video, audio, img { width: 100% }
  nav { margin: 1rem 0 }
</style>
<h1>$title</h1>
$player
<nav>$qualities</nav>
$sprite
</html>
""")


def check(home: Path, *, replace: bool) -> None:
    """Refuse to replace a page that isn't ours.

    Raises:
        WouldReplace
    """
    page = home / NAME
    if page.exists() and not replace and 'content="Amphipod"' not in page.read_text(encoding="utf-8", errors="replace"):
        raise WouldReplace(f"{page}: is there already, and no page of ours", remedy="leave out --page, or --replace")


def write(manifest: Manifest, folder: JobFolder) -> Path:
    """Write the page where the job's files are, and return its path."""
    encode = manifest.steps["encode"]
    home = manifest.published_in or folder.path / (encode.folder or "")
    check(home, replace=manifest.job.replace)
    page = home / NAME
    storage.write_replacing(page, render(manifest, home))
    return page


def render(manifest: Manifest, home: Path) -> str:
    """Return the page; its links are relative to `home`, the folder of the files."""
    videos = sorted(manifest.find("rendition"), key=lambda artifact: -(artifact.height or 0))
    title = html.escape(manifest.job.source.path.stem)
    links = [f'<a href="{_link(video)}">{video.height}p</a>' for video in videos]
    links += [f'<a href="{_link(audio)}">{html.escape(audio.path)}</a>' for audio in manifest.find("audio")]
    sprites = [f'<img src="{_link(sprite)}" alt="overview">' for sprite in manifest.find("sprite")]
    return _PAGE.substitute(
        title=title, player=_player(manifest, videos, home), qualities=" · ".join(links), sprite="\n".join(sprites)
    )


def _player(manifest: Manifest, videos: list[Artifact], home: Path) -> str:
    tracks = "".join(
        f'<track kind="subtitles" src="{_inside(track, home)}" srclang="{html.escape(track.language or "")}"'
        f' label="{html.escape(track.language or "subtitles")}">'
        for kind in ("caption", "subtitle")
        for track in manifest.find(kind)
        if track.media_type == "text/vtt"
    )
    if not videos:
        sounds = "".join(f'<source src="{_link(audio)}">' for audio in manifest.find("audio"))
        return f"<audio controls>{sounds}</audio>"
    posters = manifest.find("thumbnail")
    poster = f' poster="{_link(posters[len(posters) // 2])}"' if posters else ""
    return f'<video controls{poster} src="{_link(videos[0])}">{tracks}</video>'


def _inside(track: Artifact, home: Path) -> str:
    """Return captions as an address that holds them: a page opened from the disk may not read a file beside it."""
    text = (home / track.path).read_text(encoding="utf-8")
    return f"data:text/vtt;charset=utf-8,{quote(text)}"


def _link(artifact: Artifact) -> str:
    return html.escape(artifact.path, quote=True)
