"""Each command that a page shows is one of ours, with options that there are, or is known by name, with the reason."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tools.docs import reference

from .conftest import GUIDES, PAGES, amphipods, named, prompted

#: Commands of the guides that no test runs: how each begins, and why.
NOT_RUN = {
    "python3 -m venv": "the tests have an environment; tests/packaging makes one",
    "pip install": "asks the index; tests/packaging installs the wheel",
    ".venv/bin/pip install": "the same",
    "/opt/amphipod/bin/pip install": "the same",
    ".venv/bin/amphipod models": "fetches weights; tests/plugins/transcript/test_weights.py has them served",
    "amphipod models": "the same",
    "make demo": "installs into this tree; run by hand before a release",
    "make test": "runs this",
    "install --directory": "needs root and a user of Pod's",
    "ln --symbolic": "needs root",
    "mount": "needs root and a server of NFS",
    "chgrp": "needs root",
    "chmod": "needs root",
    "cp examples": "needs root",
    "systemctl": "needs root; tests/pod verifies the units",
    "docker": "needs Docker; tests/pod checks the compose file",
    "cp pod.env": "for Docker",
    "mkdir --mode 700 secrets": "for Docker",
    "kubectl": "needs a cluster",
}


@cache
def commands() -> dict[str, Any]:
    return {name.removeprefix("amphipod "): command for name, command in reference.commands()}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_each_call_of_ours_names_a_command_and_options_that_there_are(page: Path) -> None:
    known, wrong = commands(), []
    groups = {name.split()[0] for name in known if " " in name}
    for line in amphipods(page.read_text(encoding="utf-8")):
        words = re.split(r"\s+", re.split(r" [#&|;] ?| \\$|\)", line)[0])[1:]
        while words and words[0] == "--config":
            words = words[2:]
        if words[:1] and words[0].startswith("-"):
            continue
        name = " ".join(words[:2]) if words[0] in groups else words[0]
        if name in groups:
            continue
        options = {
            option for one in getattr(known.get(name), "params", ()) for option in (*one.opts, *one.secondary_opts)
        }
        given = {word.partition("=")[0] for word in words if re.fullmatch(r"--[a-z-]+(=.*)?", word)}
        if name not in known or given - options - {"--help"}:
            wrong.append((line, sorted(given - options)))
    assert wrong == []


@pytest.mark.parametrize("page", GUIDES, ids=named)
def test_each_command_of_a_guide_is_run_or_known_by_name(page: Path) -> None:
    """What is run is in test_guides.py: calls of ours, and `head`."""
    lines = prompted(page.read_text(encoding="utf-8"))
    others = [line for line in lines if not re.match(r"(\w+=\w+ )?(\S+/)?(amphipod|head) ", line)]
    assert [line for line in others if not line.startswith(tuple(NOT_RUN))] == []


def test_what_is_not_run_is_in_some_guide() -> None:
    shown = [line for page in GUIDES for line in prompted(page.read_text(encoding="utf-8"))]
    assert [start for start in NOT_RUN if not any(line.startswith(start) for line in shown)] == []
