"""The plugin `captions`: writes what any engine has heard. Needs neither whisper nor torch.

A plugin of its own, so that a host whose only engine is somebody else's has it too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from core import hookimpl

if TYPE_CHECKING:
    import typer

    from core import Context, Job, StepOutput, Transcript


class Captions:
    """Writes `transcript_<language>` in each format that a job asks for."""

    @hookimpl
    def file_names(self, step: str, options: Mapping[str, Any]) -> Sequence[str] | None:
        from plugins.transcript.options import CaptionOptions

        if step != "transcribe":
            return None
        endings = CaptionOptions.model_validate(dict(options)).formats
        return [f"transcript_*.{'review.html' if ending == 'review' else ending}" for ending in endings]

    @hookimpl
    def register_commands(self, cli: typer.Typer) -> None:
        from plugins.transcript.captions_command import app

        cli.add_typer(app, name="captions")

    @hookimpl
    def write_captions(
        self, job: Job, transcript: Transcript, options: Mapping[str, Any], context: Context
    ) -> StepOutput:
        from core import StepOutput
        from plugins.transcript.captions import confidence
        from plugins.transcript.captions.caption_files import write
        from plugins.transcript.captions.review import about
        from plugins.transcript.options import CaptionOptions

        chosen = CaptionOptions.model_validate(dict(options))
        artifacts = write(transcript, chosen, context.output, about(job, context.manifest))
        return StepOutput(
            artifacts=tuple(artifacts), facts=confidence.facts(transcript), notes=confidence.notes(transcript)
        )


plugin = Captions()
