"""The host's settings: one table, read once, every mistake reported at once.

Each field is set by the environment's `AMPHIPOD_<NAME>`, or by `<name>` in amphipod.toml (the environment wins). A
plugin has a table of its own, `[plugin.NAME]`, and `AMPHIPOD_<PLUGIN>_<NAME>`.
"""

from core.settings.reading import CONFIG_FILE, POD_NAMES, PREFIX, load, unknown_variables
from core.settings.table import Settings

__all__ = ["CONFIG_FILE", "POD_NAMES", "PREFIX", "Settings", "load", "unknown_variables"]
