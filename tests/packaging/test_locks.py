"""What images and developers install is pinned, by hash where it is passed on, and asked about."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "examples" / "pod").glob("lock-*.txt"))

#: Of a package, its version and marker, then its hashes, as `uv pip compile --generate-hashes` writes them.
_PACKAGE = re.compile(
    r"^([a-z0-9._-]+)==(\S+)(?: ; [^\\\n]+)? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE
)


def pins(text: str) -> dict[str, str]:
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", text, re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_each_package_of_an_image_has_its_hashes(lock: Path) -> None:
    text = lock.read_text()

    assert len(pins(text)) > 15
    assert _PACKAGE.sub("", text).strip() == "", "nothing else, and no registry's address"
    assert not {"torch", "triton"} & pins(text).keys(), "a site chooses its build"


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_an_image_has_the_versions_that_the_tests_pass_with(lock: Path) -> None:
    tested = pins((ROOT / "constraints.txt").read_text())
    assert {name: at for name, at in pins(lock.read_text()).items() if tested.get(name, at) != at} == {}, "make lock"


def test_each_image_has_a_lock() -> None:
    images = {path.name.removeprefix("Dockerfile.") for path in (ROOT / "examples" / "pod").glob("Dockerfile.*")}
    assert {lock.stem.removeprefix("lock-") for lock in LOCKS} == images


def test_an_audit_that_reaches_nobody_says_so() -> None:
    """And fails nothing; by a proxy that isn't there, so that the test asks nobody."""
    nowhere = {"HTTPS_PROXY": "http://127.0.0.1:1", "https_proxy": "http://127.0.0.1:1", "NO_PROXY": "", "no_proxy": ""}

    done = subprocess.run(
        [sys.executable, "-m", "tools.audit"], cwd=ROOT, env=os.environ | nowhere, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("NOT AUDITED: OSV can't be asked")
