"""Transcription. Its engine is not part of this release: the plugin says so and leaves the step to others."""

from core import PluginUnavailable, hookimpl


@hookimpl
def configure() -> None:
    raise PluginUnavailable(
        "this release has no transcription engine of its own",
        remedy="install a plugin that provides `transcribe`",
        step="transcribe",
    )
