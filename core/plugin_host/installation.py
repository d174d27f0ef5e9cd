"""`core` and `plugins` are global names: make sure that the ones imported are Amphipod's own.

Dramatiq puts the current folder first on sys.path, so a folder named `core`, or a `plugins` with an `__init__.py`,
where a worker is started would be taken for ours.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
from pathlib import Path
from urllib.parse import unquote, urlsplit

from core.errors import BadCall
from core.hookspecs import NAME


def check() -> Path:
    """Return the folder that Amphipod was imported from.

    Raises:
        BadCall: something else stands in its way; the message names the path.
    """
    home = _installed_in()
    for name in ("core", "plugins.encode"):
        found = _found(name)
        expected = home / name.replace(".", "/") / "__init__.py"
        if found is None or found.resolve() != expected.resolve():
            raise BadCall(
                f"{found or 'a package without ' + name} stands before Amphipod's own {name} ({expected})",
                remedy="start from another folder, or take it off PYTHONPATH",
                path=str(found),
            )
    return home


def _found(name: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(name)
    except Exception:  # noqa: BLE001  # it imports the parent, which may be a stranger's and raise anything
        parent = importlib.util.find_spec(name.partition(".")[0])
        return Path(parent.origin) if parent and parent.origin else None
    return Path(spec.origin) if spec and spec.origin else None


def _installed_in() -> Path:
    """Return what the distribution's own record says: its folder, or that of an editable install (PEP 610)."""
    distribution = importlib.metadata.distribution(NAME)
    direct_url = json.loads(distribution.read_text("direct_url.json") or "{}")
    if direct_url.get("dir_info", {}).get("editable"):
        return Path(unquote(urlsplit(direct_url["url"]).path))
    return Path(str(distribution.locate_file("")))
