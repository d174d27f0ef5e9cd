"""The page on which a person hears again what is doubtful, corrects it, and saves the captions as WebVTT.

One file, which asks no host for anything: it plays what lies beside it, or what a person opens. What a lecture says is
in it as data, and a policy (CSP) lets no other script run than the page's own.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from markupsafe import Markup
from pydantic import BaseModel, FiniteFloat, ValidationError

from core import Job, Manifest, Transcript
from plugins.transcript.captions.confidence import HeardCue, facts
from plugins.transcript.captions.formats import tag_of

if TYPE_CHECKING:
    from jinja2 import Environment

_HERE = Path(__file__).with_name("page")

#: Facts of a transcription whose stretches have no captions, and why.
_GAPS = {"speech_given_up": "could not be made out", "speech_without_words": "no words were made out"}

#: What encoders call their files; a transcription that began beside its encode can't know better yet.
_USUAL = ("360p.mp4", "audio_192k.mp3")

_SOUND = frozenset({".mp3", ".m4a", ".ogg", ".opus", ".wav", ".flac"})


@dataclass(frozen=True)
class About:
    """The lecture, for its page."""

    job: str
    title: str
    #: Names of files beside the page that may be played, the best first.
    media: tuple[str, ...] = ()


class _Stretches(BaseModel):
    """What such a fact says, in seconds."""

    where: tuple[tuple[FiniteFloat, FiniteFloat], ...] = ()


def about(job: Job, manifest: Manifest) -> About:
    """Say what a page needs of a job: its media are the smallest rendition, the sound, or the source."""
    films = sorted(manifest.find("rendition"), key=lambda film: film.height or 0)
    made = [artifact.path for artifact in (*films[:1], *manifest.find("audio")) if "/" not in artifact.path]
    source = job.source.path
    usual = () if made else _USUAL
    return About(job.id, source.stem, tuple(dict.fromkeys([*made, *usual, source.name])))


def page(transcript: Transcript, cues: Sequence[HeardCue], lecture: About) -> str:
    """Return the page; its texts are in the browser's language, English or French."""
    script, style = _text("review.js"), _text("review.css")
    return (
        _environment()
        .get_template("review.html")
        .render(
            title=lecture.title,
            is_video=not all(PurePath(name).suffix.lower() in _SOUND for name in lecture.media),
            policy=_policy(script, style),
            style=Markup(style),  # noqa: S704  # nosec B704  # a file of ours
            script=Markup(script),  # noqa: S704  # nosec B704  # a file of ours
            data=_embedded(_data(transcript, cues, lecture)),
        )
    )


def _data(transcript: Transcript, cues: Sequence[HeardCue], lecture: About) -> Mapping[str, Any]:
    sure = facts(transcript)
    known = {"mean": sure["word_confidence"], "share": sure["words_uncertain"]} if sure else {}
    return {
        "language": transcript.language,
        "job": lecture.job,
        "file": f"transcript_{transcript.language}.vtt",
        "media": [quote(name) for name in lecture.media],
        "cues": [_cue(one, transcript.language) for one in cues],
        "gaps": list(_gaps(transcript)),
        "words": json.loads(_text("review.words.json")),
        **known,
    }


def _cue(one: HeardCue, language: str) -> Mapping[str, Any]:
    cue: dict[str, Any] = {"start": one.cue.start, "end": one.cue.end, "text": "\n".join(one.cue.lines)}
    if one.cue.language not in ("", language):
        cue["language"] = tag_of(one.cue.language)
    if one.doubtful:
        runs = [(run.text, run.doubtful) for run in one.runs]
        cue |= {"doubtful": True, "confidence": one.confidence, "runs": runs}
    return cue


def _gaps(transcript: Transcript) -> Iterator[Mapping[str, Any]]:
    for name, why in _GAPS.items():
        try:
            where = _Stretches.model_validate(transcript.facts.get(name, {})).where
        except ValidationError:  # another engine means something else by that name
            continue
        for start, end in where:
            yield {"start": round(start * 1000), "end": round(end * 1000), "text": "", "why": why}


def _policy(script: str, style: str) -> str:
    rules = {
        "default-src": "'none'",
        "script-src": _hash(script),
        "style-src": _hash(style),
        "img-src": "data:",
        "media-src": "'self' file: blob:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def _hash(code: str) -> str:
    """Return an element's content as a policy names it (CSP 3, section 2.3.1)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'"


def _embedded(data: Mapping[str, Any]) -> Markup:
    """Return JSON that nothing in it can end: HTML finds neither `</script>` nor `<!--`."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return Markup(text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e"))  # noqa: S704  # nosec B704


@cache
def _text(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
