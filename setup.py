"""Fills core/web/static/vendor from npm when a wheel is built; all else of the packaging is in setup.cfg."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

WEB = Path(__file__).parent / "core" / "web"
ASSETS, VENDOR = WEB / "assets", WEB / "static" / "vendor"

#: As in the Makefile. No script of a package runs, and what is fetched must have the digests of the lock file.
COMMANDS = (
    ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
    ["npm", "run", "--silent", "build"],
)


class BuildWithAssets(build_py):
    """What an sdist brings along is taken as it is; an editable install leaves the checkout alone."""

    def run(self) -> None:
        if not self.editable_mode and not _is_there():
            try:
                _fill()
            except (OSError, subprocess.CalledProcessError) as error:
                self.warn(f"no controls for the player, which will have the browser's own, and no hls.js: {error}")
        super().run()


def _is_there() -> bool:
    try:
        wanted = json.loads((ASSETS / "package.json").read_bytes())["devDependencies"]
        return bool(json.loads((VENDOR / "versions.json").read_bytes()) == wanted)
    except FileNotFoundError:
        return False


def _fill() -> None:
    npm = shutil.which("npm")
    if not npm:
        raise FileNotFoundError("npm is not installed")
    for command in COMMANDS:
        subprocess.run([npm, *command[1:]], cwd=ASSETS, check=True)


setup(cmdclass={"build_py": BuildWithAssets})
