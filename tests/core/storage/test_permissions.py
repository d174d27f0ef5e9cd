"""Who may read what: jobs are their service's own, films are for the web server."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from core import doctor
from core.model import Callback, Job, Source
from core.pipeline import in_process, lifecycle
from core.pipeline.planning import Host
from core.retention import uploads
from core.settings import Settings
from core.statements.spool import Spool
from core.storage import files
from core.storage.job_folder import JobFolder

#: A group that only the tests' files have.
GROUP = 54321

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="giving files to others takes root")


@pytest.fixture(params=[0o022, 0o002, 0o077], ids=["022", "002", "077"])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield int(request.param)
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode) & 0o777


def done(host: Host, output: Path | None, **do: object) -> JobFolder:
    job = Job(
        id="j1",
        sources=(Source(path=Path("a.mp4")),),
        steps=("encode",),
        output=output,
        options={"do": {"write": "x"} | do},
        callbacks=(Callback(kind="webhook", url="http://127.0.0.1:1/"),),
    )
    folder, _ = lifecycle.submit(job, host.settings.jobs_root)
    in_process.run_embedded(host, folder)
    assert folder.manifest.exists()
    return folder


def test_a_job_is_its_user_s_and_group_s_alone(umask: int, toy_host: Host) -> None:
    folder = done(toy_host, None)

    for path in (folder.request, folder.manifest, folder.result("encode", 1), folder.plan("encode")):
        assert mode(path) == 0o660 & ~umask, path
    assert {mode(path) for path in folder.story.iterdir()} <= {0o660 & ~umask}
    for path in (folder.root, folder.root / "jobs", folder.path, folder.steps, folder.out):
        assert mode(path) == 0o770 & ~umask, path


def test_a_film_in_the_portal_s_folder_is_as_the_umask_says(umask: int, toy_host: Host, tmp_path: Path) -> None:
    output = tmp_path / "media" / "0042"
    done(toy_host, output)

    assert mode(output / "360p.mp4") == 0o666 & ~umask
    assert mode(output) == mode(output.parent) == 0o777 & ~umask


def test_or_as_the_settings_say(toy_host: Host, tmp_path: Path) -> None:
    settings = toy_host.settings.model_copy(update={"output_mode": 0o640})
    output = tmp_path / "media" / "0042"
    done(Host(settings, toy_host.manager), output)

    assert mode(output / "360p.mp4") == 0o640
    assert mode(output) == 0o750


def test_uploads_and_waiting_statements_are_private(umask: int, settings: Settings) -> None:
    upload = uploads.folder(settings, uploads.begin(settings, "a.mp4", 3).id)
    (spool := Spool(settings.jobs_root / "statements" / "_intake")).put(['{"actor": "anna"}'])

    for path in (upload.path, settings.jobs_root / "statements"):
        assert mode(path) == 0o770 & ~umask
    for path in (upload.part, upload.about):
        assert mode(path) == 0o660 & ~umask
    assert {mode(path) for path in spool.files()} == {0o600}


@pytest.fixture
def open_root() -> Iterator[Path]:
    """A jobs root as an admin may have made it, which everybody may search; those of pytest are closed to others."""
    root = Path(tempfile.mkdtemp(dir="/tmp"))
    root.chmod(0o755)
    yield root
    shutil.rmtree(root)


@as_root
def test_nobody_else_can_read_a_thing_of_a_job(toy_host: Host, open_root: Path) -> None:
    folder = done(Host(toy_host.settings.model_copy(update={"jobs_root": open_root}), toy_host.manager), None)

    look = "import os, sys; os.setgid(65534); os.setuid(65534); print(*(name for name, *_ in os.walk(sys.argv[1])))"
    found = subprocess.run([sys.executable, "-c", look, str(folder.root)], capture_output=True, text=True)
    assert found.stdout == f"{open_root}\n", "and nothing below"


@as_root
def test_what_a_worker_of_another_user_adds_to_a_job_has_the_job_s_group(toy_host: Host) -> None:
    """A portal made the job as its own user; it must be able to read what became of it."""
    files.make_folder(jobs := toy_host.settings.jobs_root / "jobs")
    os.chown(jobs, -1, GROUP)

    folder = done(toy_host, None)

    ours = [folder.path, folder.request, folder.manifest, folder.result("encode", 1), *folder.story.iterdir()]
    assert {path.stat().st_gid for path in ours} == {GROUP}


def test_a_folder_that_is_gone_is_not_made_again_by_what_goes_into_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        files.make_folder(tmp_path / "gone" / "holds", parents=False)
    assert not (tmp_path / "gone").exists()


@pytest.mark.parametrize(("jobs_mode", "warned"), [(0o755, True), (0o751, True), (0o750, False), (0o770, False)])
def test_doctor_warns_of_jobs_that_everybody_may_read(jobs_mode: int, warned: bool, toy_host: Host) -> None:
    files.make_folder(jobs := toy_host.settings.jobs_root / "jobs")
    jobs.chmod(jobs_mode)

    assert (f"folder of jobs {jobs}" in {one.subject for one in doctor.examine(toy_host)}) == warned
