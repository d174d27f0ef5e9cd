"""Every kind of file that a plugin of ours writes has a place in the order of publishing."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from core.model import KINDS

ROOT = Path(__file__).parents[2]

#: Calls that make an artifact, and their first argument or keyword is its kind.
_MAKERS = ("Artifact", "_artifact", "Format")


def written() -> Iterator[str]:
    for path in [*ROOT.glob("plugins/**/*.py"), *ROOT.glob("examples/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _MAKERS:
                given = [*node.args[:1], *(word.value for word in node.keywords if word.arg == "kind")]
                yield from (one.value for one in given if isinstance(one, ast.Constant) and isinstance(one.value, str))


def test_all_that_plugins_write_are_in_the_list() -> None:
    kinds = set(written())
    assert {"segment", "audio_playlist", "playlist", "master", "info", "caption", "transcript", "film"} <= kinds
    assert kinds <= set(KINDS)
