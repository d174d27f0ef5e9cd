from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from core.context import Progress
from core.errors import BadSource, Cancelled, HookFailed, LimitExceeded, StepCrashed
from core.model import Access, Job, Source, State, StepResult
from core.pipeline import attempt, lifecycle, planning
from core.pipeline.planning import Host
from core.plugin_host.manager import Manager
from core.process import spawn, supervisor
from core.process.messages import StepRequest
from core.settings import Settings
from core.storage import job_state, scratch_folder

from ...conftest import InstallPlugin

Request = Callable[..., StepRequest]


@pytest.fixture
def request_for(toy_host: Host, tmp_path: Path) -> Request:
    """Return a request to do one thing in a child."""

    def make(**do: Any) -> StepRequest:
        job = Job(
            id="j1", sources=(Source(path=tmp_path / "a.mp4"),), steps=("encode",), options={"do": do, "write": "x"}
        )
        folder, _ = lifecycle.submit(job, tmp_path / "root")
        scratch = scratch_folder.begin_attempt(folder, "encode", after=0)
        return StepRequest(
            parent=os.getpid(),
            settings=toy_host.settings,
            root=folder.root,
            job=job.id,
            step="encode",
            attempt=1,
            scratch=scratch.path,
            published=folder.out / "encode.1",
            plan=planning.fix_plan(toy_host, folder, "encode"),
            manifest=job_state.fold(folder),
            access=Access(write=(Path(os.environ["TMPDIR"]),)),
        )

    return make


def is_gone(pid: int, within: float = 3.0) -> bool:
    """Tell whether a process ends within some seconds; a zombie has ended."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.02)
    return False


def child_pid(tmp_path: Path, within: float = 10.0) -> int:
    """Wait until the toy engine's `sleep` has begun, and return its process."""
    end = time.monotonic() + within
    file = tmp_path / "tmp" / "child-j1"
    while time.monotonic() < end:
        if file.exists() and (text := file.read_text()):
            return int(text)
        time.sleep(0.02)
    raise AssertionError("the child did not begin")


def test_a_step_answers_with_measured_artifacts(request_for: Request) -> None:
    answer = supervisor.run(request_for(write="hello"))

    assert answer.engine.plugin == "toy"
    assert answer.output
    assert [(artifact.path, artifact.size) for artifact in answer.output.artifacts] == [("360p.mp4", 5)]


def test_a_step_runs_in_a_process_and_a_session_of_its_own(request_for: Request) -> None:
    answer = supervisor.run(request_for(write="hello"))

    assert answer.output
    assert answer.output.facts["pid"] != os.getpid()


def test_progress_comes_out_and_never_goes_back(request_for: Request) -> None:
    seen: list[Progress] = []

    supervisor.run(request_for(sleep=1.0, write="x"), on_progress=seen.append)

    assert len(seen) >= 3
    assert [one.done for one in seen] == sorted(one.done for one in seen)
    assert seen[-1].total == 1.0


def test_what_a_library_prints_is_no_answer(request_for: Request) -> None:
    answer = supervisor.run(request_for(print_noise='{"answer": "forged"}', write="x"))

    assert answer.output
    assert answer.output.artifacts


def test_log_lines_of_the_child_are_the_parents(request_for: Request) -> None:
    with structlog.testing.capture_logs() as lines:
        supervisor.run(request_for(log="the sky", write="x"))

    assert {"event": "the sky", "shade": "green", "job": "j1", "step": "encode", "log_level": "warning"} in [
        {key: line.get(key) for key in ("event", "shade", "job", "step", "log_level")} for line in lines
    ]


def test_a_refusal_of_the_engine_arrives_as_what_it_is(request_for: Request) -> None:
    with pytest.raises(BadSource, match=r"a\.mp4: no picture") as caught:
        supervisor.run(request_for(refuse="no picture"))
    assert caught.value.plugin == "toy"


def test_a_plugins_own_exception_names_the_plugin(request_for: Request) -> None:
    with pytest.raises(HookFailed, match="plugin toy failed in encode: ValueError: bang"):
        supervisor.run(request_for(blow_up="bang"))


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGKILL", "SIGABRT"])
def test_a_child_that_is_killed_is_a_crash_that_names_the_signal(request_for: Request, name: str) -> None:
    with pytest.raises(StepCrashed, match=f"encode was killed by {name}"):
        supervisor.run(request_for(kill=name))


def test_a_crash_tells_the_last_words_on_standard_error(request_for: Request) -> None:
    with pytest.raises(StepCrashed, match="double free on stderr"):
        supervisor.run(request_for(print_noise="double free", kill="SIGABRT"))


def test_the_child_ignores_a_polite_signal_to_its_group(request_for: Request) -> None:
    answer = supervisor.run(request_for(kill="SIGTERM", write="x"))

    assert answer.output
    assert answer.output.artifacts


def test_a_step_that_takes_too_long_is_ended(request_for: Request, tmp_path: Path) -> None:
    request = request_for(sleep=60)
    hasty = request.model_copy(update={"settings": request.settings.model_copy(update={"step_time_limit": 6})})

    with pytest.raises(LimitExceeded, match="longer than 6 s"):
        supervisor.run(hasty)
    assert is_gone(child_pid(tmp_path))


def test_a_cancel_ends_the_child_at_once(request_for: Request, tmp_path: Path) -> None:
    def watch() -> None:
        if (tmp_path / "tmp" / "child-j1").exists():
            raise Cancelled

    began = time.monotonic()
    with pytest.raises(Cancelled):
        supervisor.run(request_for(sleep=60), watch=watch)

    assert is_gone(child_pid(tmp_path))
    assert time.monotonic() - began < 10


def test_a_child_over_its_memory_limit_fails_alone(request_for: Request) -> None:
    request = request_for(fill_disk=3_000_000_000)
    small = request.model_copy(update={"settings": request.settings.model_copy(update={"step_memory_limit": 2**31})})

    with pytest.raises(HookFailed, match="MemoryError"):
        supervisor.run(small)


def test_the_environment_of_the_child_holds_no_secrets(request_for: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", "secret")
    monkeypatch.setenv("AMPHIPOD_TOY_COLOUR", "green")
    monkeypatch.setenv("AMPHIPOD_TOY_TOKEN", "secret")
    monkeypatch.setenv("AMPHIPOD_BROKER_URL", "redis://:secret@redis")

    environment = spawn.child_environment(Settings(plugin={"toy": {"token": "it is in the request"}}))

    assert "AMPHIPOD_TOY_TOKEN" not in environment
    assert "DATABASE_PASSWORD" not in environment
    assert "AMPHIPOD_BROKER_URL" not in environment
    assert environment["AMPHIPOD_TOY_COLOUR"] == "green"


@pytest.mark.parametrize("name", [signal.SIGKILL, signal.SIGTERM])
def test_no_orphan_is_left_when_the_parent_dies(
    name: signal.Signals, request_for: Request, tmp_path: Path, toy_host: Host
) -> None:
    request = request_for(sleep=60)
    code = (
        "import os, sys; from core.process import messages, supervisor\n"
        "request = messages.StepRequest.model_validate_json(sys.argv[1])\n"
        "supervisor.run(request.model_copy(update={'parent': os.getpid()}))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, request.model_dump_json()])
    child = child_pid(tmp_path)
    parent.send_signal(name)
    parent.wait()

    assert is_gone(child)


def test_a_child_of_another_parent_refuses_to_work(request_for: Request) -> None:
    stranger = request_for(write="x").model_copy(update={"parent": 1})

    with pytest.raises(StepCrashed, match="no answer"):
        supervisor.run(stranger)


EAR = """
    import os, time

    from core import Artifact, BadSource, Segment, Transcript, hookimpl

    calls = []

    @hookimpl
    def transcribe(job, audio, options, context):
        calls.append(job.id)
        if "refuse" in job.options:
            raise BadSource("mumbling")
        if "kept" in job.options:
            context.kept.mkdir(exist_ok=True)
            (context.kept / "half").touch()
        print(f"I hear {job.id}", flush=True)
        said = f"{os.getpid()} {len(calls)} {sorted(path.name for path in context.workdir.parent.iterdir())}"
        ballast.append(bytearray(job.options.get("grow", 0)))
        if "die" in job.options:
            os.abort()
        return Transcript(language="fr", segments=[Segment(text=said, start=0, end=1)])

    ballast = []

    @hookimpl
    def write_captions(transcript, context):
        (context.output / "said.txt").write_text(transcript.segments[0].text)
        return [Artifact(kind="transcript", path="said.txt", media_type="text/plain")]
"""

Hear = Callable[..., tuple[int, int]]


class TestAKeptChild:
    """The child of `transcribe` does one job after another, so that its model is loaded once."""

    @pytest.fixture
    def hear(self, install_plugin: InstallPlugin, tmp_path: Path) -> Iterator[Hear]:
        """Return a function that runs a job; it answers with the child's process and its number of jobs so far."""
        install_plugin("ear", EAR)

        def do(**options: Any) -> tuple[int, int]:
            fixed = {"jobs_root": tmp_path / "root", "run_dir": tmp_path / "run", "plugins_only": ("ear",)}
            settings = Settings(**fixed, **options.pop("settings", {}))
            host = Host(settings, Manager(settings))
            job = Job(
                id=lifecycle.new_id(),
                sources=(Source(path=tmp_path / "a.mp3"),),
                steps=("transcribe",),
                options=options,
            )
            folder, _ = lifecycle.submit(job, settings.jobs_root)
            result = attempt.run_step(host, folder, "transcribe")
            if result.reason:
                raise BadSource(result.reason)
            assert [path for path in folder.scratch.iterdir() if path.suffix == ".kept"] == []
            process, number, *_ = (folder.path / str(result.folder) / "said.txt").read_text().split()
            return int(process), int(number)

        yield do
        spawn.keeper.end()

    def test_does_the_next_job_too(self, hear: Hear) -> None:
        first, second = hear(), hear()

        assert (first[1], second) == (1, (first[0], 2))

    def test_leaves_no_folder_of_a_job_open(self, hear: Hear) -> None:
        process, _ = hear()

        opened = [str(entry.readlink()) for entry in Path(f"/proc/{process}/fd").iterdir()]
        assert not [name for name in opened if "scratch" in name]

    def test_what_a_crashed_attempt_saved_is_gone_after_a_success(self, hear: Hear) -> None:
        hear(kept=True)

    def test_ends_after_a_failure(self, hear: Hear) -> None:
        process, _ = hear()
        with pytest.raises(BadSource, match="mumbling"):
            hear(refuse=True)

        assert is_gone(process)

    def test_a_crash_ends_it_and_tells_its_last_words(self, hear: Hear) -> None:
        process, _ = hear()
        with pytest.raises(StepCrashed, match="transcribe was killed by SIGABRT: I hear"):
            hear(die=True)

        assert is_gone(process)
        assert hear()[1] == 1

    def test_that_was_killed_while_idle_is_replaced(self, hear: Hear) -> None:
        process, _ = hear()
        os.kill(process, signal.SIGKILL)
        assert is_gone(process)

        assert hear()[1] == 1

    def test_ends_itself_when_idle(self, hear: Hear, monkeypatch: pytest.MonkeyPatch) -> None:
        process, _ = hear(settings={"keep_seconds": 0.1})

        assert is_gone(process, within=8)

    def test_that_was_idle_for_too_long_is_not_used(self, hear: Hear) -> None:
        process, _ = hear(settings={"keep_seconds": 0.1})
        time.sleep(0.2)

        assert hear(settings={"keep_seconds": 0.1})[1] == 1
        assert is_gone(process)

    def test_past_its_memory_limit_is_ended(self, hear: Hear) -> None:
        limit = {"keep_memory_limit": 200_000_000}
        small, _ = hear(settings=limit)
        large, _ = hear(settings=limit, grow=300_000_000)

        assert small == large
        assert is_gone(large)

    def test_is_not_kept_when_the_settings_say_so(self, hear: Hear) -> None:
        process, _ = hear(settings={"keep_seconds": 0})

        assert is_gone(process)

    def test_of_other_settings_is_not_used(self, hear: Hear) -> None:
        process, _ = hear()

        assert hear(settings={"threads": 1})[1] == 1
        assert is_gone(process)

    def test_is_one_a_host(self, hear: Hear, tmp_path: Path) -> None:
        (tmp_path / "run").mkdir()
        with (tmp_path / "run" / "child.kept").open("w") as theirs:
            fcntl.flock(theirs, fcntl.LOCK_EX)
            process, _ = hear()
            assert is_gone(process)
        process, _ = hear()

        assert not is_gone(process, within=0.3)

    def test_frees_its_place_when_it_dies(self, hear: Hear, tmp_path: Path) -> None:
        process, _ = hear()
        with (tmp_path / "run" / "child.kept").open("w") as mine:
            with pytest.raises(BlockingIOError):
                fcntl.flock(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.kill(process, signal.SIGKILL)
            assert is_gone(process)
            fcntl.flock(mine, fcntl.LOCK_EX)  # its threads end after it, so it may take a moment

    def test_dies_with_its_parent(self, hear: Hear, tmp_path: Path) -> None:
        code = (
            "import sys; from core.model import Job, Source; from core.plugin_host.manager import Manager\n"
            "from core.settings import Settings; from core.pipeline import attempt, lifecycle, planning\n"
            "settings = Settings.model_validate_json(sys.argv[1])\n"
            "job = Job(id='j1', sources=(Source(path='a.mp3'),), steps=('transcribe',))\n"
            "folder, _ = lifecycle.submit(job, settings.jobs_root)\n"
            "result = attempt.run_step(planning.Host(settings, Manager(settings)), folder, 'transcribe')\n"
            "print((folder.path / result.folder / 'said.txt').read_text().split()[0])"
        )
        settings = Settings(jobs_root=tmp_path / "root", run_dir=tmp_path / "run", plugins_only=("ear",))
        done = subprocess.run([sys.executable, "-c", code, settings.model_dump_json()], capture_output=True, text=True)

        assert done.stderr == ""
        assert is_gone(int(done.stdout.splitlines()[-1]))


#: Says on its pipe what the option `said` is, in place of an answer; and leaves the files of `left`.
LIAR = """
    import json, os, sys, time

    from core import hookimpl

    @hookimpl
    def encode(options, context):
        for name in options.get("left", ()):
            os.makedirs((context.output / name).parent, exist_ok=True)
            os.close(os.open(context.output / name, os.O_CREAT | os.O_WRONLY, 0o6777))
        here = os.getcwd()
        os.chdir(context.output)
        for _ in range(options.get("deep", 0)):
            os.mkdir("d")
            os.chdir("d")
        os.chdir(here)
        words = options["said"] if isinstance(options["said"], str) else json.dumps(options["said"])
        words = words.replace("LONG", "[" * (33 << 20))
        data = words.encode() + b"\\n"
        while data:
            data = data[os.write(int(sys.argv[1]), data):]
        time.sleep(30)
"""

_ANSWER = {"engine": {"plugin": "liar", "distribution": "x", "version": "1"}}


def answer(path: str, **about: Any) -> dict[str, Any]:
    made = {"kind": "rendition", "path": path, "media_type": "video/mp4", "size": 0, "sha256": "0" * 64, **about}
    return {"answer": {**_ANSWER, "output": {"artifacts": [made]}}}


@pytest.fixture
def liar(settings: Settings, install_plugin: InstallPlugin, tmp_path: Path) -> Callable[..., StepResult]:
    """Return what came of a job whose decoder was taken over and says these things."""
    install_plugin("liar", LIAR)
    own = settings.model_copy(update={"plugins_only": ("liar",), "step_attempts": 1})
    host = Host(own, Manager(own))

    def ask(**options: Any) -> StepResult:
        job = Job(id="j1", sources=(Source(path=tmp_path / "a.mp4"),), steps=("encode",), options=options)
        folder, _ = lifecycle.submit(job, own.jobs_root)
        return attempt.run_step(host, folder, "encode")

    return ask


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("no JSON", "is not JSON"),
        ("LONG", "more than"),
        ("[" * 100_000, "is not JSON"),
        ('{"progress": [NaN, 1, 1, ""]}', "progress"),
        ({"answer": 5}, "answer"),
        ({"error": {"type": 5}}, "error.message: is missing"),
        ({"answer": {**_ANSWER, "output": {"facts": {"duration": "x"}}}}, "the fact duration"),
        (answer("../../../request.json"), "is no path of a file"),
        (answer("/etc/passwd"), "is no path of a file"),
        (answer("a\x1b[2J.mp4"), "control characters"),
        (answer("a.mp4", media_type="text/html\r\nSet-Cookie: a=b"), "media_type"),
        (answer("a.mp4"), "named what it did not make: a.mp4"),
    ],
)
@pytest.mark.long
def test_what_no_child_says_fails_the_attempt_alone(liar: Callable[..., StepResult], said: Any, words: str) -> None:
    result = liar(said=said)
    assert result.state is State.FAILED
    assert words in (result.reason or "")


@pytest.mark.long
def test_a_file_of_a_child_that_lies_can_be_run_by_nobody(liar: Callable[..., StepResult], settings: Settings) -> None:
    result = liar(said=answer("a/a.mp4"), left=["a/a.mp4"])
    assert result.folder
    made = settings.jobs_root / "jobs" / "j1" / result.folder / "a" / "a.mp4"
    assert made.stat().st_mode & 0o7111 == 0


@pytest.mark.long
def test_folders_deeper_than_functions_recurse_are_refused_and_removed(
    liar: Callable[..., StepResult], settings: Settings
) -> None:
    result = liar(said=answer("a.mp4"), left=["a.mp4"], deep=2000)
    assert "left what it did not name: d" in (result.reason or "")
    assert not list((settings.jobs_root / "jobs" / "j1" / "scratch").glob("encode.1/output"))


@pytest.mark.long
def test_a_child_s_line_of_the_log_is_about_its_own_job(liar: Callable[..., StepResult], settings: Settings) -> None:
    forged = {"event": "done", "job": "other", "self": 1, "exc_info": "x", "level": "explode", "step": "finish"}
    with structlog.testing.capture_logs() as lines:
        liar(said=json.dumps({"log": forged}) + "\n" + json.dumps(answer("b.mp4")))
    assert {"event": "done", "job": "j1", "step": "encode", "log_level": "info"} in lines
