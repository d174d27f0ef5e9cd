"""A step that a plugin brings is on the pages as any other, under its name, for which they have no word."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.model import Job, Source
from core.pipeline import in_process, lifecycle, planning
from core.pipeline.planning import Host
from core.plugin_host.manager import Manager
from core.settings import Settings
from core.storage.job_folder import JobFolder
from core.web.app import build

from ...conftest import TOY_ENGINE, TOY_STEP, InstallPlugin
from .conftest import Browser


@pytest.fixture
def host(settings: Settings, install_plugin: InstallPlugin) -> Host:
    install_plugin("toy", TOY_ENGINE)
    install_plugin("indexer", TOY_STEP)
    only = settings.model_copy(update={"plugins_only": ("toy", "indexer")})
    return Host(only, Manager(only))


@pytest.fixture
def failed(host: Host, tmp_path: Path) -> JobFolder:
    film = tmp_path / "Thermodynamics 4.mp4"
    film.write_text("a lecture")
    steps = planning.known_steps(host.manager, ("encode", "index"))
    declared = planning.declared(host.manager, steps)
    options = {"fail_once": True}
    job = Job(id=lifecycle.new_id(), sources=(Source(path=film),), steps=steps, declared=declared, options=options)
    folder, _ = lifecycle.submit(job, host.settings.jobs_root)
    in_process.run_embedded(host, folder)
    return folder


@pytest.mark.parametrize("path", ["/", "/jobs", "/jobs/{job}", "/submit"])
def test_a_page_calls_it_by_its_name(host: Host, failed: JobFolder, path: str) -> None:
    page = Browser(build(host.settings, host.manager)).page(path.format(job=failed.id))
    assert "index" in page.text
