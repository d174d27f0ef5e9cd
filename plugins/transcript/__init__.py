"""The built-in transcription: openai-whisper on speech alone, in batches, greedily first and hotter where in doubt.

What it hears is written by the plugin `captions`, which is in this package too and needs nothing of whisper.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import Access, PluginUnavailable, hookimpl

if TYPE_CHECKING:
    import typer
    from pydantic import BaseModel

    from core import Context, Job, Transcript
    from core.settings import Settings
    from plugins.media.settings import MediaSettings
    from plugins.transcript.settings import TranscriptSettings


class Plugin:
    """What the host's settings say, for the hooks."""

    _own: TranscriptSettings
    _media: MediaSettings

    @hookimpl
    def configure(self, settings: Settings) -> None:
        if not all(map(find_spec, ("av", "onnxruntime", "whisper", "silero_vad"))):
            raise PluginUnavailable("pip install 'amphipod[transcript]'", step="transcribe")
        from plugins.media.settings import MediaSettings
        from plugins.transcript.settings import TranscriptSettings

        self._own = settings.of_plugin("transcript", TranscriptSettings)
        self._media = settings.of_plugin("media", MediaSettings)

    @hookimpl
    def register_settings(self) -> type[BaseModel]:
        from plugins.transcript.settings import TranscriptSettings

        return TranscriptSettings

    @hookimpl
    def options_schema(self, step: str) -> type[BaseModel] | None:
        from plugins.transcript.options import TranscribeOptions

        return TranscribeOptions if step == "transcribe" else None

    @hookimpl
    def check_step(self, job: Job, step: str, options: Mapping[str, Any]) -> None:
        from plugins.transcript import weights
        from plugins.transcript.language import known
        from plugins.transcript.options import TranscribeOptions

        if step == "transcribe":
            language = "auto" if job.language == "auto" else known(job.language)
            weights.check(TranscribeOptions.model_validate(dict(options)), language, self._own)

    @hookimpl
    def child_access(self, step: str, options: Mapping[str, Any]) -> Access | None:
        from plugins.transcript import weights
        from plugins.transcript.options import TranscribeOptions

        if step != "transcribe":
            return None
        places = weights.places(TranscribeOptions.model_validate(dict(options)), self._own)
        return Access(read=tuple(places), settings=("media",))

    @hookimpl
    def transcribe(self, job: Job, audio: Path, options: Mapping[str, Any], context: Context) -> Transcript:
        from plugins.transcript.engine import transcribe_lecture
        from plugins.transcript.options import TranscribeOptions

        asked = TranscribeOptions.model_validate(dict(options))
        return transcribe_lecture(job, audio, asked, context, self._own, self._media)

    @hookimpl
    def register_commands(self, cli: typer.Typer) -> None:
        from plugins.transcript.commands import app

        cli.add_typer(app, name="models")


plugin = Plugin()
