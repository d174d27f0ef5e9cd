"""The child process seen from inside: a plugin tries to leave it, by every door that it can think of."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.doctor import examine
from core.errors import HostUnfit
from core.model import Job, Source, StepResult
from core.pipeline import attempt, lifecycle
from core.pipeline.planning import Host
from core.plugin_host.manager import Manager
from core.process import confinement, spawn
from core.process.confinement import Fence
from core.settings import Settings

from ...conftest import InstallPlugin

lacks = {fence.name: fence.lack for fence in confinement.fences() if fence.lack}
needs_landlock = pytest.mark.skipif("Landlock" in lacks, reason=f"this kernel has no Landlock: {lacks.get('Landlock')}")
needs_seccomp = pytest.mark.skipif("seccomp" in lacks, reason=f"this host has no seccomp: {lacks.get('seccomp')}")

#: Does what the option `tries` names and tells how each ended: "done", or the error's words.
INTRUDER = """
    import ctypes, fcntl, os, resource, shutil, signal, socket, struct, subprocess, threading, time
    from pathlib import Path

    from core import Access, Artifact, StepOutput, hookimpl

    @hookimpl
    def child_access(step, options):
        more = options.get("access", {})
        return Access(**more) if more else None

    @hookimpl
    def encode(job, source, options, context):
        if "curious" in options:
            Path("/etc/shadow").read_text()
        if "lasts" in options:
            context.lasts(options["lasts"])
        said = {name: attempt(name, argument, source, context) for name, argument in options["tries"].items()}
        (context.output / "360p.mp4").write_text("film")
        made = Artifact(kind="rendition", path="360p.mp4", media_type="video/mp4")
        return StepOutput(artifacts=(made,), facts={"said": said})

    def attempt(name, argument, source, context):
        if isinstance(argument, str):
            argument = argument.removeprefix("at ")  # as a path alone it would be an input of the job
        try:
            return {"done": str(globals()[name.partition(":")[0]](argument, source, context))}
        except OSError as error:
            return {"refused": error.strerror}
        except MemoryError:
            return {"refused": "MemoryError"}

    def read(path, source, context):
        return Path(path or source.path).read_bytes()[:40].decode()

    def read_of_parent(name, source, context):
        return Path(f"/proc/{os.getppid()}/{name}").open("rb").read(20)

    def look(path, source, context):
        return os.listdir(path)

    def write(path, source, context):
        Path(path).write_text("x")

    def write_own(name, source, context):
        (context.workdir / "touched").touch()
        shutil.copy2(context.workdir / "touched", context.workdir / "copied")
        assert (context.workdir / "copied").is_file()
        (context.workdir / name).write_text("x")
        (context.workdir / name).rename(context.output / "moved")
        (context.output / "moved").unlink()

    def link(path, source, context):
        (context.output / "link").symlink_to(path)

    def connect(port, source, context):
        with socket.create_connection(("127.0.0.1", port), timeout=2) as line:
            return line.recv(10)

    def connect_here(path, source, context):
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(path)

    def say(path, source, context):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.sendto(b"hello", path)

    def say_from_a_pair(path, source, context):
        here, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        here.sendto(b"hello", path)

    def say_in_a_message(path, source, context):
        with socket.socket(socket.AF_UNIX, socket.SOCK_RAW) as line:
            line.sendmsg([b"hello"], [], 0, path)

    def mark(path, source, context):
        with source.path.open("rb") as file:
            os.chmod(path, 0)
            os.utime(path, (1, 1))
            os.fchmod(file.fileno(), 0)
            call(452, -100, path.encode(), 0, 0)  # fchmodat2

    def give_away(path, source, context):
        os.chown(path, 12345, 12345)

    def name(path, source, context):
        os.setxattr(path, "user.name", b"x")

    def watch(path, source, context):
        return call(254, call(253), path.encode(), 0xFFF)  # inotify_init, inotify_add_watch

    def share(_, source, context):
        return call(29, 0, 4096, 0o1600)  # shmget

    def call(number, *arguments):
        libc = ctypes.CDLL(None, use_errno=True)
        answer = libc.syscall(*(one if isinstance(one, bytes) else ctypes.c_long(one) for one in (number, *arguments)))
        if answer < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return answer

    def shell(command, source, context):
        return subprocess.run(["/bin/sh", "-c", command], capture_output=True).stdout

    def fork(_, source, context):
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)

    def signal_parent(number, source, context):
        os.kill(os.getppid(), number)

    def signal_by_a_file(number, source, context):
        here, there = os.pipe()
        fcntl.fcntl(here, fcntl.F_SETOWN, os.getppid())
        fcntl.fcntl(here, fcntl.F_SETFL, os.O_ASYNC)
        os.write(there, b"x")

    def signal_by_a_socket(number, source, context):
        here, there = socket.socketpair()
        fcntl.ioctl(here, 0x8901, struct.pack("i", os.getppid()))
        fcntl.fcntl(here, fcntl.F_SETFL, os.O_ASYNC)
        there.send(b"x")

    def limit_parent(_, source, context):
        resource.prlimit(os.getppid(), resource.RLIMIT_CORE, (0, 0))

    def slow_parent(_, source, context):
        os.setpriority(os.PRIO_PROCESS, os.getppid(), 19)

    def be_traced_by_a_long_number(_, source, context):
        call(157, 0x100000004, 1, 0, 0, 0)

    def be_traced(_, source, context):
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(4, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def start_thread(_, source, context):
        heard = []
        thread = threading.Thread(target=lambda: heard.append(attempt("read", "/etc/shadow", source, context)))
        thread.start()
        thread.join()
        return heard[0]["refused"]

    def swap(path, source, context):
        source.path.unlink()
        source.path.symlink_to(path)
        return read(None, source, context)

    def take(size, source, context):
        return len(bytearray(size))

    def fill(size, source, context):
        with (context.workdir / "big").open("wb") as file:
            os.truncate(file.fileno(), size)

    def compute(seconds, source, context):
        end = time.process_time() + seconds
        while time.process_time() < end:
            pass
"""

Try = Callable[..., dict[str, Any]]


@pytest.fixture
def media(tmp_path: Path) -> Path:
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "other").mkdir()
    (tmp_path / "media" / "a.mp4").write_text("the source")
    (tmp_path / "media" / "other" / "exam.mp4").write_text("another lecture")
    return tmp_path / "media"


@pytest.fixture
def host(settings: Settings, media: Path, install_plugin: InstallPlugin) -> Host:
    install_plugin("intruder", INTRUDER)
    own = settings.model_copy(update={"plugins_only": ("intruder",), "media_roots": (media,), "step_attempts": 1})
    return Host(own, Manager(own))


def run(host: Host, source: Path, step: str = "encode", **options: Any) -> StepResult:
    job = Job(id=lifecycle.new_id(), sources=(Source(path=source),), steps=(step,), options=options)
    folder, _ = lifecycle.submit(job, host.settings.jobs_root)
    return attempt.run_step(host, folder, step)


@pytest.fixture
def tried(host: Host, media: Path) -> Try:
    """Return what came of each thing that the child tried."""

    def ask(options: dict[str, Any] | None = None, **tries: Any) -> dict[str, Any]:
        result = run(host, media / "a.mp4", tries=tries, **(options or {}))
        assert result.facts, result.reason
        return dict(result.facts["said"])

    return ask


@pytest.fixture
def neighbour() -> Iterator[int]:
    """A service of this host, which greets whoever connects; its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@needs_landlock
class TestFiles:
    def test_its_source_and_its_own_folders_are_there(self, tried: Try) -> None:
        said = tried(read=None, write_own="a", start_thread=None)
        assert said["read"] == {"done": "the source"}
        assert said["write_own"] == {"done": "None"}

    def test_another_lecture_and_what_the_host_holds_are_not(self, tried: Try, media: Path, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("s3cret")
        places = (media / "other" / "exam.mp4", tmp_path / "secret", "/etc/shadow")
        said = tried(**{f"read:{number}": f"at {path}" for number, path in enumerate(places)}, look=f"at {media}")
        assert set(map(str, said.values())) == {"{'refused': 'Permission denied'}"}

    def test_nor_in_a_thread_that_it_starts(self, tried: Try) -> None:
        assert tried(start_thread=None) == {"start_thread": {"done": "Permission denied"}}

    def test_what_the_worker_knows_is_shut(self, tried: Try) -> None:
        said = tried(**{"read_of_parent:1": "environ", "read_of_parent:2": "mem", "read_of_parent:3": "maps"})
        assert set(map(str, said.values())) == {"{'refused': 'Permission denied'}"}

    def test_nothing_is_written_outside_its_own(self, tried: Try, media: Path, tmp_path: Path) -> None:
        places = {
            "write:1": media / "a.mp4",
            "write:2": media / "new.mp4",
            "write:3": tmp_path / "new",
            "write:4": Path(tempfile.gettempdir()) / f"{tmp_path.name}-{os.getpid()}",
        }
        said = tried(**{name: f"at {path}" for name, path in places.items()})
        assert set(map(str, said.values())) == {"{'refused': 'Permission denied'}"}
        assert (media / "a.mp4").read_text() == "the source"

    def test_no_memory_is_shared_with_others(self, tried: Try) -> None:
        if confinement._processors():
            pytest.skip("the drivers of graphics processors share memory")
        assert tried(write="at /dev/shm/x", share=None) == {
            "write": {"refused": "Permission denied"},
            "share": {"refused": "Operation not permitted"},
        }

    def test_no_link_is_left_for_whoever_publishes(self, tried: Try) -> None:
        assert tried(link="/etc/passwd") == {"link": {"refused": "Permission denied"}}

    def test_what_a_plugin_asks_for_is_there(self, tried: Try, tmp_path: Path) -> None:
        for name in ("weights", "cache"):
            (tmp_path / name).mkdir()
        (tmp_path / "weights" / "base.pt").write_text("numbers")
        access = {"read": [str(tmp_path / "weights")], "write": [str(tmp_path / "cache")]}
        said = tried({"access": access}, read=f"at {tmp_path}/weights/base.pt", write=f"at {tmp_path}/cache/a")
        assert said == {"read": {"done": "numbers"}, "write": {"done": "None"}}

    def test_a_file_that_an_option_names_is_there(self, tried: Try, tmp_path: Path) -> None:
        (tmp_path / "logo.png").write_text("logo")
        assert tried({"watermark": str(tmp_path / "logo.png")}, read=str(tmp_path / "logo.png")) == {
            "read": {"done": "logo"}
        }


@needs_landlock
class TestSwap:
    def test_a_source_that_was_swapped_before_the_step_for_a_link_out_is_refused(
        self, host: Host, media: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "secret").write_text("s3cret")
        (media / "a.mp4").unlink()
        (media / "a.mp4").symlink_to(tmp_path / "secret")
        result = run(host, media / "a.mp4", tries={"read": None})
        assert "a.mp4: leads out of the media roots" in (result.reason or "")

    def test_nor_is_one_read_that_is_swapped_while_it_runs(self, host: Host, media: Path, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("s3cret")
        result = run(host, media / "a.mp4", tries={"swap": f"at {tmp_path}/secret"}, access={"write": [str(media)]})
        assert result.facts is not None
        assert result.facts["said"]["swap"] == {"refused": "Permission denied"}


@needs_landlock
@pytest.mark.long
def test_a_stranger_s_option_that_leads_out_of_the_media_roots_by_now_is_refused(
    host: Host, media: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("s3cret")
    (media / "logo.png").symlink_to(tmp_path / "secret")
    options = {"watermark": str(media / "logo.png"), "tries": {"read": f"at {media}/logo.png"}}
    job = Job(id="j1", sources=(Source(path=media / "a.mp4"),), steps=("encode",), options=options, guarded=True)
    folder, _ = lifecycle.submit(job, host.settings.jobs_root)
    assert "logo.png: lies outside the media roots" in (attempt.run_step(host, folder, "encode").reason or "")


@needs_seccomp
class TestCalls:
    def test_it_connects_to_nobody(self, tried: Try, neighbour: int) -> None:
        assert tried(connect=neighbour) == {"connect": {"refused": "Operation not permitted"}}

    def test_nor_to_a_service_by_a_socket_s_path(self, tried: Try, tmp_path: Path) -> None:
        with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
            server.bind(str(tmp_path / "s"))
            server.listen()
            log.bind(str(tmp_path / "log"))
            log.setblocking(False)
            ways = ("say", "say_from_a_pair", "say_in_a_message")
            said = tried(connect_here=f"at {tmp_path}/s", **dict.fromkeys(ways, f"at {tmp_path}/log"))
            with pytest.raises(BlockingIOError):
                log.recv(10)
        assert set(map(str, said.values())) == {"{'refused': 'Operation not permitted'}"}

    def test_it_starts_no_program_and_no_process(self, tried: Try) -> None:
        said = tried(shell="id", fork=None)
        assert set(map(str, said.values())) == {"{'refused': 'Operation not permitted'}"}

    def test_it_signals_nobody(self, tried: Try) -> None:
        ways = ("signal_by_a_file", "signal_by_a_socket", "limit_parent", "slow_parent")
        said = tried(signal_parent=0, **dict.fromkeys(ways))
        assert set(map(str, said.values())) == {"{'refused': 'Operation not permitted'}"}

    def test_it_changes_neither_owner_nor_mode_nor_time_of_a_file_and_watches_none(
        self, tried: Try, media: Path
    ) -> None:
        exam, source = media / "other" / "exam.mp4", media / "a.mp4"
        before = [(one.st_mode, one.st_uid, one.st_mtime_ns) for one in (exam.stat(), source.stat())]
        said = tried(**dict.fromkeys(("mark", "give_away", "name", "watch"), f"at {exam}"))
        assert said.pop("mark") == {"done": "None"}  # because what copies a file sets both
        assert set(map(str, said.values())) == {"{'refused': 'Operation not permitted'}"}
        assert before == [(one.st_mode, one.st_uid, one.st_mtime_ns) for one in (exam.stat(), source.stat())]

    def test_it_stays_shut_against_others_of_its_user(self, tried: Try) -> None:
        said = tried(be_traced=None, be_traced_by_a_long_number=None)
        assert set(map(str, said.values())) == {"{'refused': 'Operation not permitted'}"}

    def test_a_plugin_that_asks_may(self, tried: Try) -> None:
        said = tried({"access": {"programs": True, "network": True}}, shell="echo hello", fork=None)
        assert said == {"shell": {"done": "b'hello\\n'"}, "fork": {"done": "None"}}


#: Computes for so many seconds, and maybe says how long its source is.
THINKER = """
    import time

    from core import Artifact, Transcript, hookimpl

    @hookimpl
    def transcribe(options, context):
        if "lasts" in options:
            context.lasts(options["lasts"])
        end = time.process_time() + options["compute"]
        while time.process_time() < end:
            pass
        return Transcript(language="en", segments=())

    @hookimpl
    def write_captions(context):
        (context.output / "a.vtt").write_text("WEBVTT")
        return [Artifact(kind="caption", path="a.vtt", media_type="text/vtt", language="en")]
"""


def test_what_a_short_source_allows_does_not_bind_the_next_one_of_a_child_that_is_kept(
    settings: Settings, media: Path, tmp_path: Path, install_plugin: InstallPlugin
) -> None:
    install_plugin("thinker", THINKER)
    own = settings.model_copy(
        update={"plugins_only": ("thinker",), "step_cpu_limit": 0.01, "run_dir": tmp_path / "run", "step_attempts": 1}
    )
    host = Host(own, Manager(own))
    try:
        results = [
            run(host, media / "a.mp4", step="transcribe", compute=0.0, lasts=1.0),
            run(host, media / "a.mp4", step="transcribe", compute=3.0),
        ]
    finally:
        spawn.keeper.end()
    assert [result.reason for result in results] == [None, None]


#: Remembers its first source, and tries to read that one again for the next job.
EAVESDROPPER = """
    from core import Artifact, Transcript, hookimpl

    earlier = []

    @hookimpl
    def transcribe(job, audio):
        said = []
        for path in (audio, *earlier):
            try:
                said.append(path.read_text())
            except OSError as error:
                said.append(error.strerror)
        earlier.append(audio)
        return Transcript(language="en", segments=(), facts={"said": said})

    @hookimpl
    def write_captions(transcript, context):
        (context.output / "a.vtt").write_text("WEBVTT")
        return [Artifact(kind="caption", path="a.vtt", media_type="text/vtt", language="en")]
"""


@needs_landlock
def test_a_child_that_is_kept_reads_the_next_job_s_source_and_no_longer_the_first_s(
    settings: Settings, media: Path, tmp_path: Path, install_plugin: InstallPlugin
) -> None:
    install_plugin("eavesdropper", EAVESDROPPER)
    own = settings.model_copy(
        update={"plugins_only": ("eavesdropper",), "media_roots": (media,), "run_dir": tmp_path / "run"}
    )
    host = Host(own, Manager(own))
    try:
        first = run(host, media / "a.mp4", step="transcribe")
        second = run(host, media / "other" / "exam.mp4", step="transcribe")
    finally:
        spawn.keeper.end()
    assert first.facts["said"] == ["the source"]
    assert second.facts["said"] == ["another lecture", "Permission denied"]


class TestLimits:
    def test_memory_is_a_share_of_the_host_s(self, tried: Try) -> None:
        assert tried(take=2**44) == {"take": {"refused": "MemoryError"}}

    def test_a_file_grows_no_larger_than_the_setting_says(self, tried: Try) -> None:
        assert tried(fill=65 * 2**30) == {"fill": {"refused": "File too large"}}

    def test_computing_is_bounded_by_the_source_s_length(self, host: Host, media: Path) -> None:
        settings = host.settings.model_copy(update={"step_cpu_limit": 0.01})
        result = run(Host(settings, Manager(settings)), media / "a.mp4", lasts=1.0, tries={"compute": 20})
        assert "encode took more CPU time than sources of this length may" in (result.reason or "")


@needs_seccomp
def test_a_filter_that_the_kernel_refuses_is_no_filter_in_silence() -> None:
    code = "from core.process import confinement; confinement.shut(bytes(range(1, 17)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "OSError: [Errno 22] seccomp: Invalid argument" in done.stderr


class TestSetting:
    def test_off_leaves_all_open(self, host: Host, media: Path) -> None:
        settings = host.settings.model_copy(update={"confinement": "off"})
        manager = Manager(settings)
        result = run(Host(settings, manager), media / "a.mp4", tries={"read": f"at {media}/other/exam.mp4"})
        assert result.facts is not None
        assert result.facts["said"]["read"] == {"done": "another lecture"}

    def test_required_is_refused_where_a_fence_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            confinement, "fences", lambda: (Fence("Landlock", "Function not implemented"), Fence("seccomp"))
        )
        with pytest.raises(HostUnfit, match=r"required, and this host has no Landlock \(Function not implemented\)"):
            confinement.demand()

    def test_doctor_says_what_this_host_has(self, settings: Settings) -> None:
        def found(**update: Any) -> Any:
            own = settings.model_copy(update=update)
            return next(one for one in examine(Host(own, Manager(own))) if one.subject == "confinement")

        assert found().ok == (not lacks or None)
        assert found(confinement="off").ok is None

    @pytest.mark.skipif(bool(lacks), reason=f"this kernel lacks {', '.join(lacks)}")
    def test_required_works_where_none_is(self, host: Host, media: Path) -> None:
        settings = host.settings.model_copy(update={"confinement": "required"})
        assert run(Host(settings, Manager(settings)), media / "a.mp4", tries={"read": None}).facts


@needs_landlock
def test_a_plugin_that_needs_more_is_told_how_to_say_so(host: Host, media: Path, tmp_path: Path) -> None:
    result = run(host, media / "a.mp4", tries={}, curious=True)
    assert "a plugin that needs more than its job's files says so with the hook child_access" in (result.reason or "")
