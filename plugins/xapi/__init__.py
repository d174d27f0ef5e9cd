"""xAPI statements. Their delivery is not part of this release: the plugin says so and leaves the step to others."""

from core import PluginUnavailable, hookimpl


@hookimpl
def configure() -> None:
    raise PluginUnavailable(
        "this release does not deliver statements itself",
        remedy="install a plugin that provides `emit_statement`",
        step="emit",
    )
