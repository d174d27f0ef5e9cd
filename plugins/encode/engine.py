"""One lecture from source to published files, in the order in which things become known."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import NotWritable
from plugins.encode.audio.loudness import levelled
from plugins.encode.film import Film, film_of
from plugins.encode.output.artifacts import publish
from plugins.encode.output.checks import is_full, no_space
from plugins.encode.output.subtitles import readers_for
from plugins.encode.output.thumbnails import Stills
from plugins.encode.quality.aim import aim_at, aimed
from plugins.encode.transcode import transcode
from plugins.encode.video.ladder import renditions_for
from plugins.media.settings import DEFAULTS, MediaSettings

if TYPE_CHECKING:
    from core import Context, Job, StepOutput
    from plugins.encode.options import EncodeOptions


def encode_lecture(
    job: Job, path: Path, options: EncodeOptions, context: Context, settings: MediaSettings = DEFAULTS
) -> StepOutput:
    """Encode a source into `context.output`.

    :raises BadSource: the source can't be used.
    :raises NoSpace: the disk is full.
    :raises NotWritable: the folder refuses our files.
    """
    film = film_of(path, options, settings)
    if options.loudness != "off":
        film = levelled(film, options.loudness, context)
    with output_errors(context.output):
        return _encode(job, film, options, context)


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


def _encode(job: Job, film: Film, options: EncodeOptions, context: Context) -> StepOutput:
    start = time.time()
    profile, output, media = options.ladder, context.output, film.media
    aims = aim_at(film, profile, context)
    renditions = aimed(renditions_for(media.video, profile), aims) if media.video else ()
    context.lasts(film.duration)
    stills = Stills(output, media.video, film.duration, options) if media.video else None
    subtitles = readers_for(media.subtitles, output, film.lecture)
    audio = [output / name for name in audio_names(film)]
    done = transcode(film, renditions, profile, stills, subtitles, audio, context)
    context.doing("writing pictures and subtitles")
    if stills:
        stills.write()
    for reader in subtitles:
        reader.write()
    return publish(job, film, options, done, stills, subtitles, audio, context, start, aims)


def audio_names(film: Film) -> tuple[str, ...]:
    if not film.has_sound:
        return ()
    return ("audio_192k.mp3",) if film.media.video else ("audio_192k.mp3", "audio_192k.m4a")
