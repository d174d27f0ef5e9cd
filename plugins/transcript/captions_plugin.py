"""The plugin `captions`: writes what any engine has heard. Needs neither whisper nor torch.

A plugin of its own, so that a host whose only engine is somebody else's has it too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import Access, hookimpl

if TYPE_CHECKING:
    import typer

    from core import Context, Job, StepOutput, Transcript
    from core.settings import Settings


class Captions:
    """Knows the host's media roots, because Esup-Pod wants a copy inside one."""

    def __init__(self) -> None:
        self._media_roots: tuple[Path, ...] = ()

    @hookimpl
    def configure(self, settings: Settings) -> None:
        self._media_roots = settings.media_roots

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
    def child_access(self, job: Job, step: str, options: Mapping[str, Any]) -> Access | None:
        from plugins.transcript.captions.caption_files import place_for_pod
        from plugins.transcript.options import CaptionOptions

        if step != "transcribe" or not CaptionOptions.model_validate(dict(options)).pod_temp:
            return None
        return Access(write=(place_for_pod(job, self._media_roots),))

    @hookimpl
    def write_captions(
        self, job: Job, transcript: Transcript, options: Mapping[str, Any], context: Context
    ) -> StepOutput:
        from core import StepOutput
        from plugins.transcript.captions import confidence
        from plugins.transcript.captions.caption_files import leave_for_pod, write
        from plugins.transcript.captions.review import about
        from plugins.transcript.options import CaptionOptions

        chosen = CaptionOptions.model_validate(dict(options))
        artifacts = write(transcript, chosen, context.output, about(job, context.manifest))
        if chosen.pod_temp and not transcript.translated_from:
            leave_for_pod(job, transcript, chosen, self._media_roots)
        return StepOutput(
            artifacts=tuple(artifacts), facts=confidence.facts(transcript), notes=confidence.notes(transcript)
        )


plugin = Captions()
