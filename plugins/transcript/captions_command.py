"""`amphipod captions import`: captions that a person has corrected take the place of those that a job has made."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from core.errors import BadCall, JobConflict

if TYPE_CHECKING:
    from core import Artifact, Correctable, Transcript
    from plugins.transcript.captions.webvtt_file import ReadCue
    from plugins.transcript.options import CaptionOptions

app = typer.Typer(help="Captions that a person has corrected.", no_args_is_help=True)

#: Bytes of a file that is read: a day of speech has 5 MB.
_LARGEST = 20 << 20

#: Share of the words that were heard below which somebody may have saved a part of the captions.
_KEPT = 0.7

#: Of a job without JSON, to whoever wants more than its captions as they are.
_UNHEARD = (
    "`json` is not among the job's formats, so words share the time of their caption and none is known to be doubtful"
)


@app.callback()
def _captions() -> None:
    """Captions that a person has corrected."""


@app.command("import")
def import_(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="the corrected WebVTT")],
    job: Annotated[str | None, typer.Argument(help="id of the job that made the captions")] = None,
    out: Annotated[Path | None, typer.Option(help="instead: the folder that a job has published into")] = None,
    language: Annotated[str | None, typer.Option(help="of the captions, where the file's name doesn't say it")] = None,
    reflow: Annotated[bool, typer.Option("--reflow", help="Cut captions anew, by the job's rules.")] = False,  # noqa: FBT002
    replace: Annotated[bool, typer.Option("--replace", help="Also what somebody has changed since.")] = False,  # noqa: FBT002
) -> None:
    """Write a job's captions and transcript anew from a WebVTT that a person has corrected, all of them or none."""
    from core import correct, correctable
    from core.model import now
    from plugins.transcript.captions.caption_files import write_cues
    from plugins.transcript.captions.corrected import corrected
    from plugins.transcript.captions.cues import build_cues
    from plugins.transcript.captions.review import about
    from plugins.transcript.options import CaptionOptions

    if (job is None) == (out is None):
        raise BadCall("captions import: one of a job and --out FOLDER is due")
    settings = cast("Any", context.obj).settings()
    found = correctable(job or Path(os.path.realpath(cast("Path", out))), "transcribe", settings=settings)
    own = _files_of(found, file, language)
    rules = CaptionOptions.model_validate({**found.result.options, "formats": [_format(one) for one in own]})
    before = _before(found, own)
    cues = _checked(file, rules, found.result.facts.get("duration"), None if reflow else before.language)
    transcript = corrected(before, [one.cue for one in cues])
    new = [one.cue for one in cues]
    if reflow:
        new = build_cues(transcript.segments, transcript.language, rules, found.result.facts.get("duration"))
    note = (
        f"captions in `{transcript.language}` were corrected by a person (captions import, {now():%Y-%m-%d %H:%M} UTC)"
    )
    for lost in _lost(before, transcript, rules, reflow=reflow):
        typer.echo(f"{file}: warning: {lost}", err=True)
        note += f"; {lost}"
    with tempfile.TemporaryDirectory() as folder:
        lecture = about(found.manifest.job, found.manifest)
        made = [Path(folder) / one.path for one in write_cues(transcript, new, rules, Path(folder), lecture)]
        whole = correct(found, made, note, replace=replace, settings=settings)
    for one in own:
        typer.echo(one.path)
    typer.echo(f"corrected: {len(new)} caption{'s' * (len(new) != 1)} of job {whole.job.id}", err=True)


def _lost(before: Transcript, transcript: Transcript, rules: CaptionOptions, *, reflow: bool) -> Iterator[str]:
    """Say what was there and is no more, for the person and for the manifest."""
    heard, said = (sum(len(segment.words) for segment in one.segments) for one in (before, transcript))
    if said < _KEPT * heard:
        yield f"it has {said} word{'s' * (said != 1)} where {heard} were heard"
    if "json" not in rules.formats and (reflow or "review" in rules.formats):
        yield _UNHEARD


def _files_of(found: Correctable, file: Path, language: str | None) -> Sequence[Artifact]:
    """Return the job's files in the language of these captions.

    Raises:
        BadCall: nothing says which that is, or the job has none.
    """
    made = [one for one in found.result.artifacts if one.path.startswith("transcript_")]
    languages = list(dict.fromkeys(one.language or "und" for one in made))
    told = re.match(r"transcript_([A-Za-z0-9-]+)\.", file.name)
    wanted = language or (told[1] if told and told[1] in languages else None)
    if wanted is None and len(languages) == 1:
        wanted = languages[0]
    own = [one for one in made if (one.language or "und") == wanted]
    if not own:
        words = f"job {found.manifest.job.id} has captions in {', '.join(languages) or 'no language'}"
        raise BadCall(words, remedy="say which with --language", path=str(file))
    return own


def _format(artifact: Artifact) -> str:
    return "review" if artifact.kind == "review" else artifact.path.rpartition(".")[2]


def _checked(file: Path, rules: CaptionOptions, seconds: float | None, language: str | None) -> Sequence[ReadCue]:
    """Read the captions and tell what breaks a rule.

    :param language: tell also what is hard to read in it.

    Raises:
        BadCall: they can't be shown as they are; each fault was told.
    """
    from plugins.transcript.captions import webvtt_file

    cues, faults = webvtt_file.read(_text(file))
    faults += webvtt_file.errors(cues, seconds)
    if not cues and not faults:
        faults.append("there are no captions in it")
    if faults:
        for fault in faults:
            typer.echo(f"{file}: {fault}", err=True)
        raise BadCall(
            f"{file}: {len(faults)} fault{'s' * (len(faults) > 1)}, nothing was changed",
            remedy="correct these",
            path=str(file),
        )
    for warning in webvtt_file.warnings(cues, rules, language) if language else ():
        typer.echo(f"{file}: warning: {warning}", err=True)
    return cues


def _text(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            data = opened.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise BadCall(f"{file}: is larger than captions are", path=str(file))
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadCall(f"{file}: is not in UTF-8", remedy="save it as UTF-8", path=str(file)) from error
    except OSError as error:
        raise BadCall(f"{file}: can't be read ({(error.strerror or '').lower()})", path=str(file)) from error


def _before(found: Correctable, own: Sequence[Artifact]) -> Transcript:
    """Return what was heard, through no link; without its JSON no word has times of its own."""
    from core import Transcript

    spoken = next((one for one in own if one.media_type == "application/json"), None)
    if spoken is None:
        return Transcript(language=own[0].language or "und", segments=())
    path = found.places[spoken.path]
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW)) as file:
            return Transcript.model_validate_json(file.read())
    except (OSError, ValueError) as error:
        words = f"{path}: the transcript that these captions belong to can't be read"
        raise JobConflict(words, remedy="restore it, or transcribe again", path=str(path)) from error
