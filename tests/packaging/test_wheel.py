"""Amphipod from its wheel, as an admin installs it."""

from __future__ import annotations

import email
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.packaging.conftest import Bare, build_wheel


def test_the_wheel_holds_core_and_plugins_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"core", "plugins", "amphipod"}
    assert "plugins/__init__.py" not in names, "third parties could no longer add to the namespace"
    assert {"core/py.typed", "plugins/encode/py.typed"} <= set(names)
    assert {"core/web/player/part.html", "core/web/player/words.json", "core/web/static/player/player.css"} <= set(
        names
    )


def test_the_wheel_carries_its_licences(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (name for name in names if name.endswith("METADATA"))
        fields = email.message_from_bytes(archive.read(metadata))
    assert fields["License-Expression"] == "LGPL-3.0-or-later"
    assert {Path(name).name for name in names} >= {"LICENSE", "COPYING", "NOTICE"}


ASSETS = {f"core/web/static/vendor/{name}" for name in ("LICENSES.txt", "hls.js", "media-chrome.js", "versions.json")}


def test_the_wheel_carries_the_player_s_assets_with_their_licences(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        licences = archive.read("core/web/static/vendor/LICENSES.txt").decode()
    assert names >= ASSETS
    assert not [name for name in names if "node_modules" in name or name.startswith("core/web/assets/")]
    assert "media-chrome 4" in licences
    assert "hls.js 1" in licences


def test_an_sdist_brings_the_assets_so_that_its_wheel_needs_no_npm(
    wheel: Path, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert wheel.exists(), "its build has filled the tree"
    monkeypatch.setenv("PATH", str(tmp_path))
    build = f"import setuptools.build_meta as backend; backend.build_sdist({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=tree, check=True, capture_output=True)
    (sdist,) = tmp_path.glob("*.tar.gz")
    assert set(zipfile.ZipFile(build_wheel(sdist, tmp_path)).namelist()) >= ASSETS


def test_without_npm_there_is_a_wheel_all_the_same(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = shutil.copytree(tree, tmp_path / "tree", ignore=shutil.ignore_patterns("vendor", "build", "*.egg-info"))
    monkeypatch.setenv("PATH", str(tmp_path))
    names = zipfile.ZipFile(build_wheel(bare, tmp_path)).namelist()
    assert "core/web/app.py" in names
    assert not ASSETS.intersection(names)


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


def test_a_lecture_is_encoded_and_has_its_page_without_a_web_server(bare: Bare, clip: Path) -> None:
    done = bare.run("amphipod", "run", clip, "--out", "result", "--page")
    assert done.returncode == 0, done.stderr
    assert "media-control-bar" in Path("result/watch.html").read_text()
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
