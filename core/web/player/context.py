"""What the player is told of a job: addresses of all that it can play, show and offer."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from itertools import groupby
from pathlib import PurePath
from urllib.parse import quote

from core.model import Artifact, Manifest, Model, Segment

#: Where a file is, for whoever looks at the page.
Address = Callable[[Artifact], str]

_HLS = "application/vnd.apple.mpegurl"

#: What players and portals read, and nobody wants to have on their disk.
_NO_DOWNLOADS = (
    *("segment", "playlist", "audio_playlist", "master", "chapters", "info", "part"),
    *("thumbnail", "sprite", "sprite_index"),
)

#: Bytes of captions that say nothing: WebVTT's first line and an empty one.
_NOTHING = len("WEBVTT\n\n")


class Choice(Model):
    """A quality that can be chosen."""

    label: str
    src: str
    #: With codecs where they are known, as `canPlayType` takes it.
    type: str
    #: In pixels; None for an adaptive stream, which has several, and for sound.
    height: int | None = None


class TextTrack(Model):
    """Captions, or the subtitles that came with the film, as WebVTT."""

    kind: str
    src: str
    #: BCP 47, or the three letters that a file has for its language.
    language: str = "und"


class Spoken(Model):
    """A transcript: where its JSON is, or what it says."""

    language: str
    src: str | None = None
    segments: tuple[Segment, ...] | None = None


class DownloadLink(Model):
    name: str
    src: str
    #: In bytes.
    size: int | None = None


class PlayerContext(Model):
    """A job's result, for a player. All lists may be empty: a job that only transcribes has words alone."""

    title: str
    #: Whether there are pictures.
    is_video: bool
    #: Of the largest rendition in pixels; None where there is none.
    width: int | None = None
    height: int | None = None
    #: HLS: the master playlist first, then a choice for each of its renditions, which the player takes from the master.
    streams: tuple[Choice, ...] = ()
    #: What plays without HLS, best first: MP4s, or the sound's files.
    files: tuple[Choice, ...] = ()
    poster: str | None = None
    captions: tuple[TextTrack, ...] = ()
    #: WebVTT.
    chapters: str | None = None
    #: WebVTT, whose cues name parts of pictures (`overview.png#xywh=0,0,160,90`) relative to itself.
    previews: str | None = None
    transcripts: tuple[Spoken, ...] = ()
    downloads: tuple[DownloadLink, ...] = ()

    @property
    def has_media(self) -> bool:
        return bool(self.streams or self.files)


def player_context(manifest: Manifest, base_url: str, *, title: str | None = None) -> PlayerContext:
    """Return what the player needs of a job whose files are served as `<base_url>/<path of the artifact>`."""
    return context_of(manifest, lambda artifact: f"{base_url.rstrip('/')}/{relative_url(artifact.path)}", title=title)


def relative_url(path: str | os.PathLike[str]) -> str:
    """Return a relative path as a page's link: none of its characters means anything in an address."""
    return quote(os.fspath(path))


def context_of(manifest: Manifest, address: Address, *, title: str | None = None) -> PlayerContext:
    """Return what the player needs of a job whose files are where `address` says."""
    films = sorted(manifest.find("rendition"), key=_height, reverse=True)
    playlists = sorted(manifest.find("playlist"), key=_height, reverse=True)
    largest = next((artifact for artifact in sorted((*playlists, *films), key=_height, reverse=True)), None)
    return PlayerContext(
        title=title or manifest.job.source.path.stem,
        is_video=bool(films or playlists),
        width=largest.width if largest else None,
        height=largest.height if largest else None,
        streams=_streams(manifest, playlists, address),
        files=_files(films or manifest.find("audio"), address),
        poster=_middle(manifest.find("thumbnail"), address),
        captions=tuple(
            TextTrack(kind=kind, src=address(track), language=track.language or "und")
            for artifact_kind, kind in (("caption", "captions"), ("subtitle", "subtitles"))
            for track in manifest.find(artifact_kind)
            if track.media_type == "text/vtt" and (track.size is None or track.size > _NOTHING)
        ),
        chapters=_first(manifest.find("chapters"), address),
        previews=_first(manifest.find("sprite_index"), address),
        transcripts=tuple(
            Spoken(language=found.language or "und", src=address(found))
            for found in manifest.find("transcript")
            if found.media_type == "application/json"
        ),
        downloads=downloads_of(manifest, address),
    )


def downloads_of(manifest: Manifest, address: Address) -> tuple[DownloadLink, ...]:
    return tuple(
        DownloadLink(name=PurePath(artifact.path).name, src=address(artifact), size=artifact.size)
        for artifact in manifest.artifacts
        if artifact.kind not in _NO_DOWNLOADS
    )


def _streams(manifest: Manifest, playlists: Iterable[Artifact], address: Address) -> tuple[Choice, ...]:
    master = next((found for found in manifest.find("master") if found.media_type == _HLS), None)
    if not master:
        return ()
    auto = Choice(label="Auto", src=address(master), type=_HLS)
    return (
        auto,
        *(
            Choice(label=_lines(next(same)), src=auto.src, type=_HLS, height=height)
            for height, same in groupby(playlists, _height)
        ),
    )


def _files(artifacts: Iterable[Artifact], address: Address) -> tuple[Choice, ...]:
    return tuple(
        Choice(
            label=_quality(artifact) if artifact.height else PurePath(artifact.path).suffix.lstrip(".").upper(),
            src=address(artifact),
            type=f'{artifact.media_type}; codecs="{artifact.codecs}"' if artifact.codecs else artifact.media_type,
            height=artifact.height,
        )
        for artifact in artifacts
    )


def _quality(artifact: Artifact) -> str:
    return f"{_lines(artifact)} AV1" if (artifact.codecs or "").startswith("av01") else _lines(artifact)


def _lines(artifact: Artifact) -> str:
    """Return what people call this size: by the short side, so that a film on its side has the same word."""
    return f"{min(artifact.width or _height(artifact), _height(artifact))}p"


def _height(artifact: Artifact) -> int:
    return artifact.height or 0


def _first(artifacts: tuple[Artifact, ...], address: Address) -> str | None:
    return address(artifacts[0]) if artifacts else None


def _middle(artifacts: tuple[Artifact, ...], address: Address) -> str | None:
    return address(artifacts[len(artifacts) // 2]) if artifacts else None
