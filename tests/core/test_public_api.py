"""What authors of plugins and portals build on; a name leaves it with a major version only."""

from __future__ import annotations

import subprocess
import sys

import core


def test_the_public_names() -> None:
    assert sorted(core.__all__) == [
        "Access",
        "AlsoRead",
        "AmphipodError",
        "Artifact",
        "BadCall",
        "BadSource",
        "Callback",
        "Cancelled",
        "Case",
        "Context",
        "Correctable",
        "DROP",
        "Destination",
        "Division",
        "Finding",
        "Job",
        "Manifest",
        "Part",
        "PartOutput",
        "Permanent",
        "PluginUnavailable",
        "Progress",
        "Receipt",
        "Segment",
        "Source",
        "State",
        "Statement",
        "StepOutput",
        "StepResult",
        "StepSpec",
        "Transcript",
        "Transient",
        "Verdict",
        "Word",
        "correct",
        "correctable",
        "hookimpl",
        "sign_visitor",
        "signature",
        "status",
        "submit",
        "submit_statements",
    ]


def test_each_public_name_is_there() -> None:
    assert not [name for name in core.__all__ if not hasattr(core, name)]


def test_importing_core_reads_no_settings_and_loads_no_plugin() -> None:
    code = "import core, sys; print(*sorted(name for name in sys.modules if name.partition('.')[0] == 'plugins'))"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"AMPHIPOD_THREADS": "not a number"}, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "\n", "")
