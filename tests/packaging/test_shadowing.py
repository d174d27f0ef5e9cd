"""`core` and `plugins` are words that others use too: what happens where somebody's own folders have these names."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.packaging.conftest import Bare

# Installing into an environment of its own takes most of a minute.
pytestmark = pytest.mark.long


@pytest.fixture
def namesakes() -> Path:
    """Make the current folder one that holds `core/` and `plugins/` of somebody else."""
    for name in ("core", "plugins"):
        Path(name).mkdir()
        Path(name, "__init__.py").write_text(f"raise ImportError('this is not the {name} that you mean')")
    return Path.cwd()


def test_the_folder_that_a_command_is_started_from_does_not_matter(bare: Bare, namesakes: Path, clip: Path) -> None:
    assert bare.run("amphipod", "doctor").returncode == 0
    done = bare.run("amphipod", "run", clip, "--out", "result")
    assert done.returncode == 0, done.stderr


def test_doctor_names_a_plugins_folder_that_stands_before_ours(bare: Bare, namesakes: Path) -> None:
    shutil.rmtree(namesakes / "core")
    done = bare.run("amphipod", "doctor", "--json", PYTHONPATH=".")
    finding = json.loads(done.stdout)["findings"][0]
    assert (done.returncode, finding["subject"], finding["ok"]) == (1, "installation", False)
    assert finding["words"].startswith(f"{namesakes}/plugins/__init__.py stands before Amphipod's own plugins")


def test_doctor_names_another_copy_of_amphipod_that_stands_before_the_installed_one(bare: Bare) -> None:
    (installed,) = bare.path.glob("lib/python3.*/site-packages/core")
    copy = shutil.copytree(installed, Path.cwd() / "old checkout/core")
    done = bare.run("amphipod", "doctor", PYTHONPATH=str(copy.parent))
    assert done.returncode == 1
    assert f"FAIL installation: {copy}/__init__.py stands before Amphipod's own core ({installed}" in done.stdout


def test_a_folder_without_init_takes_nobody_s_place(bare: Bare) -> None:
    Path("core").mkdir()
    Path("plugins/ours").mkdir(parents=True)
    assert bare.run("amphipod", "doctor", PYTHONPATH=".").returncode == 0
