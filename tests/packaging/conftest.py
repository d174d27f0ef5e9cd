"""A bare environment that holds Amphipod as users get it: its wheel and what the wheel asks for, nothing of this tree.

The editable install of a developer would hide what is missing from the wheel, and who stands in its way on sys.path.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from core.testing import make_clip

ROOT = Path(__file__).parents[2]

#: What belongs to the sources of the distribution; stale files of other builds don't.
SOURCES = (
    *("core", "plugins", "setup.cfg", "setup.py", "pyproject.toml", "MANIFEST.in"),
    *("README.md", "LICENSE", "COPYING", "NOTICE"),
)


@dataclass(frozen=True)
class Bare:
    """A virtual environment without this tree."""

    path: Path

    def run(self, command: str, *arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment in the current folder, knowing nothing of ours but HOME."""
        return subprocess.run(
            [self.path / "bin" / command, *arguments],
            env={"PATH": os.defpath, "HOME": os.environ["HOME"], **variables},
            capture_output=True,
            text=True,
        )

    def json(self, command: str, *arguments: str | Path, **variables: str) -> Any:
        done = self.run(command, *arguments, **variables)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


def build_wheel(source: Path, target: Path) -> Path:
    command: list[str | Path] = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", target, source]
    subprocess.run([sys.executable, "-m", "pip", *command], check=True)
    (wheel,) = target.glob("*.whl")
    return wheel


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources alone, as a fresh clone has them."""
    tree = tmp_path_factory.mktemp("tree")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules", "vendor")
            )
        else:
            shutil.copy(ROOT / name, tree)
    return tree


@pytest.fixture(scope="session")
def wheel(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tree, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Bare:
    environment = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    constraints: list[str | Path] = ["--constraint", ROOT / "constraints.txt"]
    command: list[str | Path] = ["install", "--quiet", "--disable-pip-version-check", *constraints, f"{wheel}[encode]"]
    subprocess.run([environment / "bin/python", "-m", "pip", *command], check=True)
    return Bare(environment)


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of 640x360 pictures and sound."""
    return make_clip(tmp_path_factory.mktemp("clip") / "lecture.mp4", seconds=2, width=640, height=360)
