"""The files of examples/pod are accepted by the tools that read them; no image is built and no unit started here."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from core.settings import POD_NAMES, Settings
from core.settings.plugin_settings import also_read, variable
from plugins.transcript.settings import TranscriptSettings
from plugins.xapi.settings import XapiSettings

POD = Path(__file__).parents[2] / "examples" / "pod"


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    for unit in POD.glob("systemd/amphipod-*"):
        text = unit.read_text().replace("/opt/amphipod/bin/amphipod", sys.executable)  # where a test host has something
        (tmp_path / unit.name).write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", *tmp_path.glob("amphipod-*")], capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")


def test_compose_accepts_its_file(tmp_path: Path) -> None:
    tool = ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]
    if subprocess.run([*tool, "version"], capture_output=True).returncode if shutil.which(tool[0]) else True:
        pytest.skip("Docker's compose is not installed")
    for file in POD.iterdir():
        if file.is_file():
            shutil.copy(file, tmp_path)
    shutil.copy(POD / "pod.env.example", tmp_path / "pod.env")
    done = subprocess.run([*tool, "-f", "compose.yaml", "config"], cwd=tmp_path, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert "lookupcache=positive" in done.stdout


def test_the_environment_names_settings_that_exist() -> None:
    names = re.findall(r"^([A-Z_]+)=", (POD / "pod.env.example").read_text(), re.MULTILINE)
    known = {"MEDIA_ROOT", *POD_NAMES, *(f"AMPHIPOD_{name.upper()}" for name in Settings.model_fields)}
    owned: dict[str, type[BaseModel]] = {"xapi": XapiSettings, "transcript": TranscriptSettings}
    for plugin, model in owned.items():
        known |= {variable(plugin, field) for field in model.model_fields} | {*also_read(model).values()}
    assert not set(names) - known


@pytest.mark.parametrize("file", sorted(path.name for path in POD.glob("Dockerfile.*")))
def test_an_image_is_slim_not_root_and_one_install(file: str) -> None:
    text = (POD / file).read_text()
    assert "-slim" in text
    assert text.count("RUN pip install") == text.count("RUN ") == 1
    assert "apt" not in text.replace("adapt", "")
    assert re.search(r"^USER pod$", text, re.MULTILINE)
