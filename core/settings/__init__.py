"""The host's settings: one table, read once, every mistake reported at once.

Each field is set by the environment's `AMPHIPOD_<NAME>`, by a file that `AMPHIPOD_<NAME>_FILE` names, by a credential
of systemd's, or by `<name>` in amphipod.toml; the first of these wins. A plugin has a table of its own,
`[plugin.NAME]`, and `AMPHIPOD_<PLUGIN>_<NAME>`.
"""

from core.settings.reading import (
    CONFIG_FILE,
    POD_NAMES,
    PREFIX,
    config_file,
    exposed,
    load,
    plugin_prefixes,
    unknown_variables,
)
from core.settings.table import ADDRESSES, Settings

__all__ = [
    "ADDRESSES",
    "CONFIG_FILE",
    "POD_NAMES",
    "PREFIX",
    "Settings",
    "config_file",
    "exposed",
    "load",
    "plugin_prefixes",
    "unknown_variables",
]
