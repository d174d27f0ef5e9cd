"""From a transcript to its files, whichever engine it comes from."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

from core import Artifact, Transcript
from plugins.transcript.captions.confidence import heard, marked
from plugins.transcript.captions.corrections import correct
from plugins.transcript.captions.cues import Cue, build_cues
from plugins.transcript.captions.formats import FORMATS
from plugins.transcript.captions.review import About, page
from plugins.transcript.captions.seams import lowered
from plugins.transcript.captions.writable import writable
from plugins.transcript.options import CaptionOptions

#: Characters of a language tag that software has to take (RFC 5646, section 4.4.1).
_TAG = 35


def write(
    transcript: Transcript, options: CaptionOptions, folder: Path, lecture: About | None = None
) -> Sequence[Artifact]:
    """Write `transcript_<language>` in each of the formats that were asked for."""
    transcript = _put_right(transcript, options)
    cues = _cues(transcript, options)
    return write_cues(transcript, cues, options, folder, lecture or About("", ""))


def write_cues(
    transcript: Transcript, cues: Sequence[Cue], options: CaptionOptions, folder: Path, lecture: About
) -> Sequence[Artifact]:
    """Write captions as they are."""
    transcript = marked(transcript, options.review_below)
    stem, language = f"transcript_{_safe(transcript.language)}", transcript.language
    artifacts = []
    for name in dict.fromkeys(options.formats):
        if name == "review":
            path = folder / f"{stem}.review.html"
            text = page(transcript, heard(transcript, cues, options.review_below), lecture)
            artifact = Artifact(kind="review", path=path.name, media_type="text/html", language=language)
        else:
            form = FORMATS[name]
            path = folder / f"{stem}.{name}"
            text = form.render(transcript, cues)
            artifact = Artifact(kind=form.kind, path=path.name, media_type=form.media_type, language=language)
        path.write_text(text, encoding="utf-8")
        artifacts.append(artifact)
    return artifacts


def _put_right(transcript: Transcript, options: CaptionOptions) -> Transcript:
    """Corrections come last: what an institution writes with a capital keeps it."""
    return correct(lowered(writable(transcript)), options.corrections)


def _cues(transcript: Transcript, options: CaptionOptions) -> list[Cue]:
    duration = transcript.facts.get("duration")
    known = float(duration) if isinstance(duration, int | float) and 0 < duration < math.inf else None
    return build_cues(transcript.segments, transcript.language, options, known)


def _safe(language: str) -> str:
    return re.sub(r"[^A-Za-z0-9-]", "", language)[:_TAG] or "und"
