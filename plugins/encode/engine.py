"""One lecture from source to published files, in the order in which things become known."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import Artifact, StepOutput
from core.errors import NotWritable
from plugins.encode.ladder import renditions_for
from plugins.encode.packaging import is_full, no_space
from plugins.encode.playlist import Variant, bandwidths, master
from plugins.encode.pod_manifest import Made, pod_manifest
from plugins.encode.probe import probe
from plugins.encode.stills import Stills, save_cover
from plugins.encode.subtitles import readers_for
from plugins.encode.transcode import transcode

if TYPE_CHECKING:
    from core import Context, Job
    from plugins.encode.options import EncodeOptions
    from plugins.encode.packaging import Encoded
    from plugins.encode.probe import Media
    from plugins.encode.subtitles import SubtitleReader
    from plugins.encode.transcode import Transcoded

AAC_LC = "mp4a.40.2"


def encode_lecture(job: Job, path: Path, options: EncodeOptions, context: Context) -> StepOutput:
    """Encode a source into `context.output`.

    :raises BadSource: the source can't be used.
    :raises NoSpace: the disk is full.
    :raises NotWritable: the folder refuses our files.
    """
    media = probe(path)
    with output_errors(context.output):
        return _encode(job, media, options, context)


@contextmanager
def output_errors(output: Path) -> Iterator[None]:
    """Turn what libav says of a full or refusing file system into NoSpace or NotWritable."""
    try:
        yield
    except OSError as error:
        if is_full(error):
            raise no_space(output) from error
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            problem = f"{output} can't be written ({error.strerror})"
            raise NotWritable(problem, remedy="check its owner and permissions", path=str(output)) from error
        raise


def _encode(job: Job, media: Media, options: EncodeOptions, context: Context) -> StepOutput:
    start = time.time()
    profile, output = options.ladder, context.output
    renditions = renditions_for(media.video, profile) if media.video else ()
    stills = Stills(output, media.video, media.duration, options.thumbnails) if media.video else None
    subtitles = readers_for(media.subtitles, output, media.origin)
    audio = [output / name for name in audio_names(media)]
    done = transcode(media, renditions, profile, stills, subtitles, audio, context)
    if stills:
        stills.write()
    for reader in subtitles:
        reader.write()
    return publish(job, media, options, done, stills, subtitles, audio, context, start)


def publish(
    job: Job,
    media: Media,
    options: EncodeOptions,
    done: Transcoded,
    stills: Stills | None,
    subtitles: Sequence[SubtitleReader],
    audio: Sequence[Path],
    context: Context,
    start: float,
) -> StepOutput:
    """Write what is known only once all is encoded, and name every file.

    :param start: when the encode began, seconds since 1970.
    """
    output, profile = context.output, options.ladder
    thumbnails = stills.thumbnails if stills else ()
    if media.cover is not None:
        thumbnails = save_cover(media, output, options.thumbnails)
    overview = tuple(file for file in (stills.sprite, stills.index) if file) if stills else ()
    made = Made(done.renditions, audio, thumbnails, overview, subtitles)
    if done.renditions:
        variants = [_variant(encoded, done, has_audio=bool(audio)) for encoded in done.renditions]
        (output / "livestream.m3u8").write_text(master(variants))
    info = pod_manifest(media, profile, made, done.duration, context.published, job.attributes, start)
    (output / "info_video.json").write_text(info)
    return StepOutput(
        artifacts=tuple(_artifacts(made, media, done, output)),
        facts=_facts(media, done),
        notes=(*media.notes, *done.notes, *_subtitle_notes(media)),
    )


def audio_names(media: Media) -> tuple[str, ...]:
    if not media.audio:
        return ()
    return ("audio_192k.mp3",) if media.video else ("audio_192k.mp3", "audio_192k.m4a")


def _variant(encoded: Encoded, done: Transcoded, *, has_audio: bool) -> Variant:
    peak, mean = bandwidths(encoded.playlist.read_text())
    return Variant(
        uri=encoded.playlist.name,
        bandwidth=peak,
        average_bandwidth=mean,
        width=encoded.rendition.width,
        height=encoded.rendition.height,
        frame_rate=done.frame_rate,
        codecs=_codecs(encoded, has_audio=has_audio),
    )


def _codecs(encoded: Encoded, *, has_audio: bool) -> str:
    return f"{encoded.codec},{AAC_LC}" if has_audio else encoded.codec


def _artifacts(made: Made, media: Media, done: Transcoded, output: Path) -> Iterator[Artifact]:
    for encoded in made.renditions:
        about: dict[str, Any] = {
            "width": encoded.rendition.width,
            "height": encoded.rendition.height,
            "duration": done.duration,
            "frames": encoded.frames,
            "codecs": _codecs(encoded, has_audio=bool(made.audio)),
        }
        if encoded.mp4:
            yield _artifact("rendition", encoded.mp4, "video/mp4", done.duration, **about)
        yield _artifact("playlist", encoded.playlist, "application/vnd.apple.mpegurl", **about)
        yield _artifact("segment", encoded.segments, "video/mp2t", done.duration, **about)
    if made.renditions:
        yield _artifact("master", output / "livestream.m3u8", "application/vnd.apple.mpegurl")
    language = media.audio.language if media.audio else None
    for path in made.audio:
        kind = ("audio/mpeg", "mp3") if path.suffix == ".mp3" else ("audio/mp4", AAC_LC)
        yield _artifact(
            "audio", path, kind[0], done.duration, duration=done.duration, codecs=kind[1], language=language
        )
    for path in made.thumbnails:
        yield _artifact("thumbnail", path, "image/png", **_size(path))
    for path in made.overview:
        if path.suffix == ".png":
            yield _artifact("sprite", path, "image/png", **_size(path))
        else:
            yield _artifact("sprite_index", path, "text/vtt")
    for reader in made.subtitles:
        yield _artifact("subtitle", reader.path, "text/vtt", language=reader.track.language)
    yield _artifact("info", output / "info_video.json", "application/json")


def _artifact(kind: str, path: Path, media_type: str, seconds: float = 0.0, **about: Any) -> Artifact:
    """Describe a file; its bit rate is given for what lasts `seconds`."""
    bit_rate = round(path.stat().st_size * 8 / seconds) if seconds else None
    return Artifact(kind=kind, path=path.name, media_type=media_type, bit_rate=bit_rate, **about)


def _size(path: Path) -> dict[str, int]:
    from PIL import Image

    with Image.open(path) as image:
        return {"width": image.width, "height": image.height}


def _facts(media: Media, done: Transcoded) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "duration": done.duration,
        "has_audio": media.audio is not None,
        "has_video": media.video is not None,
    }
    if media.video:
        facts |= {
            "width": media.video.width,
            "height": media.video.height,
            "frame_rate": round(float(done.frame_rate), 3),
        }
    return facts


def _subtitle_notes(media: Media) -> Iterator[str]:
    for track in media.subtitles:
        if not track.is_text:
            yield f"subtitle track {track.index} is made of pictures, not text, and was left out"
