"""The host's settings: one table, read once, every mistake reported at once.

Each field is set by the environment's `AMPHIPOD_<NAME>`, or by `<name>` in amphipod.toml (the environment wins).
"""

from core.settings.reading import CONFIG_FILE, POD_NAMES, PREFIX, load, unknown_variables
from core.settings.table import Settings
from core.settings.values import RecordStore

__all__ = ["CONFIG_FILE", "POD_NAMES", "PREFIX", "RecordStore", "Settings", "load", "unknown_variables"]
