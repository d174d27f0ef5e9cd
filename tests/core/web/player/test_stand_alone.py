"""The page of `run --page` where the job's folder holds the files, or none were encoded."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from core import Artifact, State
from core.errors import WouldReplace
from core.model import Manifest, ManifestStep
from core.storage.job_folder import JobFolder
from core.testing import fake_job
from core.web.player import stand_alone


def page_of(folder: Path, **steps: ManifestStep) -> str:
    job = fake_job(Path("/nowhere/film.mp4"))
    (home := JobFolder(folder, job.id)).path.mkdir(parents=True, exist_ok=True)
    manifest = Manifest(job=job, state=State.SUCCEEDED, run=1, steps=steps)
    return stand_alone.write(manifest, home).read_text()


def test_a_job_that_names_no_folder_has_its_page_in_its_own(tmp_path: Path) -> None:
    out = tmp_path / "jobs/test/out"
    for step in ("encode.1", "transcribe.1"):
        (out / step).mkdir(parents=True)
    (out / "encode.1/overview.vtt").write_text("WEBVTT\n\n00:00.000 --> 00:01.000\noverview.png#xywh=0,0,160,90\n")
    (out / "transcribe.1/a.vtt").write_text("WEBVTT\n\n00:00.000 --> 00:01.000\nBonjour\n")
    film = Artifact(kind="rendition", path="90p.mp4", media_type="video/mp4", height=90)
    index = Artifact(kind="sprite_index", path="overview.vtt", media_type="text/vtt")
    captions = Artifact(kind="caption", path="a.vtt", media_type="text/vtt", language="fr")

    page = page_of(
        tmp_path,
        encode=ManifestStep(state=State.SUCCEEDED, folder="out/encode.1", artifacts=(film, index)),
        transcribe=ManifestStep(state=State.SUCCEEDED, folder="out/transcribe.1", artifacts=(captions,)),
    )

    assert '<source src="out/encode.1/90p.mp4"' in page
    assert '<a href="out/transcribe.1/a.vtt"' in page
    assert "out/encode.1/overview.png%23xywh%3D0%2C0%2C160%2C90" in page
    assert re.search(r'<track kind="captions" src="data:text/vtt;charset=utf-8,WEBVTT[^"]*Bonjour', page)


def test_a_job_without_files_has_a_page_all_the_same(tmp_path: Path) -> None:
    assert "<h1" in page_of(tmp_path, emit=ManifestStep(state=State.SUCCEEDED))


def test_a_page_of_ours_is_replaced_and_no_other(tmp_path: Path) -> None:
    page_of(tmp_path)
    page_of(tmp_path)
    (tmp_path / "jobs/test/watch.html").write_text("somebody's own")
    with pytest.raises(WouldReplace):
        page_of(tmp_path)


def test_a_command_that_writes_no_page_loads_no_templates() -> None:
    code = "import sys, core.web.player.stand_alone; sys.exit('jinja2' in sys.modules or 'fastapi' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
