"""What all tests share: a host of their own, and plugins that are real distributions on a path."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from textwrap import dedent
from typing import Any

import hypothesis
import pytest

from core.model import Artifact, Job, State, StepResult, now
from core.pipeline import lifecycle
from core.pipeline.planning import Host
from core.plugin_host.manager import Manager
from core.settings import POD_NAMES, Settings
from core.storage import commit
from core.storage.job_folder import JobFolder

InstallPlugin = Callable[..., None]

# How long an example takes is the machine's affair, and it has others to do.
hypothesis.settings.register_profile("ours", deadline=None)
hypothesis.settings.load_profile("ours")


#: The files that take longest come first, so that no process is left alone with one in the end; in turn one that waits
#: for clocks and one that computes, so that both cores are busy all the time.
LONGEST_FIRST = tuple(
    f"{name}.py"
    for name in (
        *(
            "service/test_worker",
            "plugins/transcript/test_plugin",
            "pod/test_contract",
            "plugins/encode/test_transcode",
        ),
        *("service/test_callbacks", "plugins/encode/source/test_sources", "service/test_commands"),
        *("plugins/encode/test_dressing", "service/test_statements", "plugins/encode/test_kinds", "service/test_parts"),
        *("packaging/test_installed", "service/test_monitor", "packaging/test_wheel", "service/test_statement_faults"),
        *("plugins/encode/parts/test_parts", "service/test_plugin_steps", "plugins/xapi/test_tracker"),
        *("core/pipeline/test_lifecycle", "core/pipeline/test_parts", "service/test_graph", "core/cli/test_run"),
        *("service/test_story", "packaging/test_shadowing", "pod/test_bridge", "core/storage/test_conflicts"),
        *("service/test_job_index", "plugins/encode/source/test_late_tracks", "pod/test_runner", "web/test_jobs"),
    )
)

#: Then whole folders.
SLOW_FIRST = ("packaging", "service", "pod", "plugins")

TESTS = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> tuple[int, int]:
        name = item.path.relative_to(TESTS).as_posix() if item.path.is_relative_to(TESTS) else ""
        file = LONGEST_FIRST.index(name) if name in LONGEST_FIRST else len(LONGEST_FIRST)
        folder = next((at for at, part in enumerate(SLOW_FIRST) if part in item.path.parts), len(SLOW_FIRST))
        return file, folder

    items.sort(key=place)


def pytest_configure() -> None:
    """Let what the tests start be interrupted: below `make test &` of a script, SIGINT is inherited as ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


TOY_ENGINE = """
    import os, signal, time
    from pathlib import Path

    from core import Access, Artifact, BadSource, StepOutput, hookimpl

    @hookimpl
    def child_access():
        return Access(write=(os.environ["TMPDIR"],))

    @hookimpl
    def encode(job, source, options, context):
        for name, argument in options.get("do", {"write": "hello"}).items():
            globals()[name](argument, job, source, context)
        return StepOutput(
            artifacts=tuple(describe(path.name) for path in sorted(context.output.iterdir())),
            facts={"duration": 1.0, "pid": os.getpid(), "worker": os.getppid(), "attempt": context.attempt},
        )

    @hookimpl
    def keeps_time(options):
        return "keep_time" in options.get("do", {})

    def keep_time(_argument, job, source, context):
        pass

    def describe(name):
        return Artifact(kind=kinds.get(Path(name).suffix, "rendition"), path=name, media_type="video/mp4")

    kinds = {".m3u8": "playlist", ".json": "info", ".png": "thumbnail"}

    def write(text, job, source, context):
        (context.output / "360p.mp4").write_text(text)

    def write_files(files, job, source, context):
        for name, text in files.items():
            (context.output / name).write_text(text)

    def refuse(words, job, source, context):
        raise BadSource(f"{source.path.name}: {words}")

    def blow_up(words, job, source, context):
        raise ValueError(words)

    def kill(signal_name, job, source, context):
        os.kill(os.getpid(), getattr(signal, signal_name))

    def kill_once(signal_name, job, source, context):
        if context.attempt == 1:
            os.kill(os.getpid(), getattr(signal, signal_name))

    def print_noise(text, job, source, context):
        print(text, flush=True)
        os.write(2, (text + " on stderr\\n").encode())

    def log(text, job, source, context):
        context.log.warning(text, shade="green")

    def sleep(seconds, job, source, context):
        (context.workdir / "started").touch()
        Path(os.environ["TMPDIR"], f"child-{job.id}").write_text(str(os.getpid()))
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            context.progress(seconds - (end - time.monotonic()), seconds)
            time.sleep(0.05)

    def leave_unnamed(name, job, source, context):
        (context.output / name).mkdir()
        (context.output / name / "file").touch()

    def fill_disk(size, job, source, context):
        (context.output / "big.mp4").write_bytes(bytes(size))
"""


#: Brings a step, which reads what `encode` has made.
TOY_STEP = """
    import os, time
    from pathlib import Path

    from pydantic import BaseModel, ConfigDict

    from core import Access, Artifact, BadSource, StepOutput, StepSpec, hookimpl

    class Options(BaseModel):
        model_config = ConfigDict(extra="forbid")

        words: int = 1
        fail_once: bool = False
        linger: float = 0.0

    @hookimpl
    def register_steps():
        return [StepSpec(name="index", queue="indexing", needs=("encode",), summary="list what is on the slides")]

    @hookimpl
    def options_schema(step):
        return Options if step == "index" else None

    @hookimpl
    def child_access(step):
        return Access(write=(os.environ["TMPDIR"],)) if step == "index" else None

    @hookimpl
    def run_step(job, step, manifest, options, context):
        film = context.made("rendition")
        tried = Path(os.environ["TMPDIR"], f"tried-{job.id}")
        if options["fail_once"] and not tried.exists():
            tried.touch()
            raise BadSource(f"{job.source.path.name}: too dark to read")
        Path(os.environ["TMPDIR"], f"child-{job.id}").write_text(str(os.getpid()))
        end = time.monotonic() + options["linger"]
        while time.monotonic() < end:
            context.progress(options["linger"] - (end - time.monotonic()), options["linger"])
            time.sleep(0.05)
        said = film.read_text() if film else "nothing"
        (context.output / "words.txt").write_text(f"{options['words']} words of {said}")
        artifact = Artifact(kind="other", path="words.txt", media_type="text/plain")
        return StepOutput(artifacts=(artifact,), facts={"pid": os.getpid(), "attempt": context.attempt})
"""


@pytest.fixture(autouse=True)
def _own_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the settings, the jobs or the current folder of whoever runs it."""
    for name in list(os.environ):
        if name.startswith(("AMPHIPOD_", "XAPI_", "TRANSCRIPTION_")) or name in ("MEDIA_ROOT", *POD_NAMES):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    for folder in (home, tmp_path / "tmp"):
        folder.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.chdir(home)


@pytest.fixture
def install_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InstallPlugin:
    """Install a plugin as pip would: a module and its metadata, on the path of this process and of its children."""
    site = tmp_path / "site"

    def install(name: str, code: str, *, distribution: str = "", version: str = "1.0") -> None:
        distribution = distribution or f"amphipod-{name.replace('_', '-')}"
        metadata = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
        metadata.mkdir(parents=True)
        (site / f"{name}.py").write_text(dedent(code), encoding="utf-8")
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (metadata / "entry_points.txt").write_text(f"[amphipod]\n{name} = {name}\n")
        monkeypatch.delitem(sys.modules, name, raising=False)

    site.mkdir()
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])]))
    return install


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(jobs_root=tmp_path / "root")


@pytest.fixture
def toy_host(settings: Settings, install_plugin: InstallPlugin) -> Host:
    """A host whose only engine for `encode` does what the option `do` says."""
    install_plugin("toy", TOY_ENGINE)
    only_toy = settings.model_copy(update={"plugins_only": ("toy",)})
    return Host(only_toy, Manager(only_toy))


def ended(host: Host, job: Job, make: Callable[[Path], Sequence[Artifact]], **about: Any) -> JobFolder:
    """End a job of one step whose files `make` writes into a folder; `about` is what else its result says."""
    folder, _ = lifecycle.submit(job, host.settings.jobs_root)
    (step,) = job.steps
    place = folder.out / f"{step}.1"
    place.mkdir(parents=True)
    result = StepResult(
        job=job.id,
        step=step,
        run=1,
        attempt=1,
        state=State.SUCCEEDED,
        folder=f"out/{place.name}",
        artifacts=commit.measure(make(place), place),
        host="host",
        started_at=now(),
        finished_at=now(),
        **about,
    )
    commit.commit(folder, result)
    lifecycle.finish(host, folder)
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own that holds 4 MB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system takes root")
    disk = tmp_path / "small-disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
