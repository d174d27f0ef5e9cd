"""Amphipod from its wheel, as an admin installs it."""

from __future__ import annotations

import email
import zipfile
from pathlib import Path

import pytest

from tests.packaging.conftest import Bare


def test_the_wheel_holds_core_and_plugins_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"core", "plugins", "amphipod"}
    assert "plugins/__init__.py" not in names, "third parties could no longer add to the namespace"
    assert {"core/py.typed", "plugins/encode/py.typed"} <= set(names)


def test_the_wheel_carries_its_licences(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (name for name in names if name.endswith("METADATA"))
        fields = email.message_from_bytes(archive.read(metadata))
    assert fields["License-Expression"] == "LGPL-3.0-or-later"
    assert {Path(name).name for name in names} >= {"LICENSE", "COPYING", "NOTICE"}


def test_help_names_the_commands(bare: Bare) -> None:
    done = bare.run("amphipod", "--help")
    assert done.returncode == 0
    for command in ("run", "plugins", "hooks", "doctor"):
        assert f" {command} " in done.stdout


def test_the_built_in_plugins_are_found(bare: Bare) -> None:
    found = {plugin["name"]: plugin for plugin in bare.json("amphipod", "plugins", "--json")}
    assert found["encode"]["state"] == "ready"
    assert {"encode", "options_schema"} <= set(found["encode"]["hooks"])


def test_hooks_are_printed_for_scripts(bare: Bare) -> None:
    encode = next(hook for hook in bare.json("amphipod", "hooks", "--json") if hook["name"] == "encode")
    assert encode["signature"].startswith("(job: Job, source: Source,")
    assert "when to stop" in encode["documentation"]


def test_doctor_finds_the_host_fit(bare: Bare) -> None:
    done = bare.run("amphipod", "doctor")
    assert done.returncode == 0, done.stdout
    assert f"ok   installation: {bare.path}" in done.stdout


def test_a_lecture_is_encoded(bare: Bare, clip: Path) -> None:
    done = bare.run("amphipod", "run", clip, "--out", "result")
    assert done.returncode == 0, done.stderr
    assert {"360p.mp4", "360p.m3u8", "livestream.m3u8", "info_video.json"} <= {
        path.name for path in Path("result").iterdir()
    }


@pytest.mark.parametrize("command", ["plugins", "run"])
def test_the_heavy_libraries_stay_out_of_the_command_line(bare: Bare, command: str) -> None:
    code = f"""
import sys, core.cli
core.cli.build([{command!r}])
print(*{{"av", "PIL", "torch", "whisper", "ralph", "dramatiq", "kombu"}}.intersection(sys.modules))
"""
    assert bare.run("python", "-c", code).stdout == "\n"
