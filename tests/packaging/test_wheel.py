"""Amphipod from its wheel, as an admin installs it."""

from __future__ import annotations

import email
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.packaging.conftest import build_wheel


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


@pytest.mark.long
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
