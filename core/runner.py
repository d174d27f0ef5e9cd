"""A step in a supervised child process.

The worker's own threads (heartbeat, lease) go on while C code computes, a limit or a cancel ends the whole process
group at once, and a decoder that crashes takes down nothing but an attempt.

The child gets one JSON line on its standard input and answers with JSON lines on a pipe of their own, so that
nothing a library prints can be taken for an answer. It ends when its parent does: standard input closes, and the
kernel sends SIGKILL (PR_SET_PDEATHSIG).

The child of a step in `KEPT` is kept for the next job when it has succeeded: one a host, until it has been idle for
`keep_seconds` or has grown past `keep_memory_limit`.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import structlog

from core import errors, settings, storage
from core.context import Progress
from core.errors import LimitExceeded, StepCrashed
from core.model import Division, Engine, Manifest, Model, Plan, Step, StepOutput, Work
from core.settings import Settings

#: Seconds between two looks at the clock and at `watch` while the child says nothing.
POLL = 0.25

#: Seconds that a child may take to exit once it has answered.
_EXIT_GRACE = 10.0

#: Steps whose child is kept for the next job: loading a model takes longer than many a lecture.
KEPT: tuple[Step, ...] = ("transcribe",)

#: File in an attempt's scratch folder that holds what its child has said on standard output and error.
COMPLAINTS = "stderr.log"

#: Environment that programs need; tokens and passwords stay out of a process that opens strangers' media.
_ENVIRONMENT = (
    *("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "XDG_CACHE_HOME", "XDG_DATA_HOME"),
    *("PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH"),
    *("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"),
)

_log = structlog.get_logger()


class StepRequest(Model):
    """The line that a child reads."""

    parent: int
    settings: Settings
    root: Path
    job: str
    step: Step
    work: Work = Work()
    attempt: int
    scratch: Path
    published: Path
    plan: Plan
    manifest: Manifest


class StepAnswer(Model):
    """The child's last line when all went well; artifacts are measured and on stable storage."""

    engine: Engine
    output: StepOutput | None = None
    #: Of the verb "divide".
    division: Division | None = None


def run(
    request: StepRequest,
    *,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    watch: Callable[[], None] = lambda: None,
) -> StepAnswer:
    """Do one attempt at a step, away from this process.

    `watch` is called at least every `POLL` seconds; what it raises (Cancelled, a lost lease) ends the child and
    leaves here.

    Raises:
        StepCrashed: the child died without an answer.
        LimitExceeded: it ran for longer than `settings.step_time_limit`.
        AmphipodError: whatever the step itself raised.
    """
    deadline = time.monotonic() + request.settings.step_time_limit
    child = _keeper.take(request) or _start(request)
    answer = None
    try:
        child.send(request)
        for message in _messages(child, deadline, request, watch):
            if "progress" in message:
                on_progress(Progress(*message["progress"]))
            elif "log" in message:
                _relog(message["log"], request)
            elif "error" in message:
                raise errors.from_dict(message["error"])
            elif "answer" in message:
                answer = StepAnswer.model_validate(message["answer"])
                storage.remove(request.scratch.parent / f"{request.step}.kept")
                return answer
        words = _obituary(child.wait(), request.scratch / COMPLAINTS, request.step)
        raise StepCrashed(words, job=request.job, step=request.step)
    finally:
        if answer and request.step in KEPT:
            _keeper.put(child)
        else:
            if answer:
                child.wait()
            child.end()


@dataclass
class _Child:
    """A process of core/child.py. `key` is what it was started with: another host's settings need another child."""

    process: subprocess.Popen[bytes]
    reader: int
    key: tuple[Settings, dict[str, str]]
    #: Open file of the lock that says that this host keeps a child; None where it has the lock, or needs none.
    lock: int | None = None
    idle_since: float = 0.0
    buffer: bytes = b""

    def send(self, request: StepRequest) -> None:
        with contextlib.suppress(BrokenPipeError):
            assert self.process.stdin is not None
            self.process.stdin.write(request.model_dump_json().encode() + b"\n")
            self.process.stdin.flush()

    def wait(self) -> int:
        try:
            return self.process.wait(_EXIT_GRACE)
        except subprocess.TimeoutExpired:
            return self._kill()

    def end(self) -> None:
        """Kill what is left of it and let go of it; once."""
        self._kill()
        if self.process.stdin:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
        os.close(self.reader)
        if self.lock is not None:
            os.close(self.lock)

    def _kill(self) -> int:
        """Kill its process group, itself included, and reap it."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.wait()

    @property
    def memory(self) -> int:
        """Bytes of its memory that are in use; proc(5), /proc/[pid]/statm."""
        try:
            pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        except (FileNotFoundError, ProcessLookupError):
            return 0
        return pages * os.sysconf("SC_PAGE_SIZE")


class _Keeper:
    """Keeps one idle child of this host until the next job, so that its model needn't be loaded again."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._child: _Child | None = None

    def take(self, request: StepRequest) -> _Child | None:
        """Return the kept child if it can do this, and end one that can't."""
        if request.step not in KEPT:
            return None
        with self._mutex:
            child, self._child = self._child, None
        if child is None:
            return None
        idle = time.monotonic() - child.idle_since
        if child.process.poll() is None and idle < request.settings.keep_seconds and child.key == _key(request):
            return child
        child.end()
        return None

    def put(self, child: _Child) -> None:
        """Keep a child that has answered, unless it has grown too large or this host keeps one already."""
        settings = child.key[0]
        limit = settings.keep_memory_limit or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
        child.idle_since = time.monotonic()
        with self._mutex:
            if settings.keep_seconds and not self._child and child.memory <= limit and _lock(child):
                self._child = child
                return
        child.end()

    def end(self) -> None:
        with self._mutex:
            child, self._child = self._child, None
        if child:
            child.end()


def _lock(child: _Child) -> bool:
    """Take the host's one place for a kept child, which holds it from then on: its death frees it."""
    if child.lock is None:
        return True
    try:
        fcntl.flock(child.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    os.close(child.lock)
    child.lock = None
    return True


_keeper = _Keeper()
atexit.register(_keeper.end)


def _key(request: StepRequest) -> tuple[Settings, dict[str, str]]:
    return request.settings, child_environment()


def _start(request: StepRequest) -> _Child:
    reader, writer = os.pipe()
    lock = None
    try:
        if request.step in KEPT:
            request.settings.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(request.settings.run_dir / f"{request.step}.kept", os.O_RDWR | os.O_CREAT, 0o600)
        process = _spawner().submit(_spawn, writer, lock, request.scratch / COMPLAINTS).result()
    except BaseException:
        os.close(reader)
        if lock is not None:
            os.close(lock)
        raise
    finally:
        os.close(writer)
    return _Child(process, reader, _key(request), lock)


def _spawn(writer: int, lock: int | None, complaints: Path) -> subprocess.Popen[bytes]:
    with complaints.open("wb") as stderr:
        return subprocess.Popen(
            # -P: the folder we are started from must not shadow `core` or `plugins`.
            [sys.executable, "-P", "-m", "core.child", str(writer)],
            stdin=subprocess.PIPE,
            stdout=stderr,
            stderr=stderr,
            pass_fds=(writer,) if lock is None else (writer, lock),
            start_new_session=True,
            env=child_environment(),
        )


def child_environment() -> dict[str, str]:
    """Return what a child sees of our environment: what programs need, and plugins' own settings.

    Ours reach it in the request, less what it has no use for.
    """
    ours = {settings.PREFIX + name.upper() for name in Settings.model_fields}
    return {
        name: value
        for name, value in os.environ.items()
        if name in _ENVIRONMENT or (name.startswith(settings.PREFIX) and name not in ours)
    }


@cache
def _spawner() -> ThreadPoolExecutor:
    """One thread, alive as long as this process, starts all children: PDEATHSIG follows the thread, not the process."""
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")


def _messages(
    child: _Child, deadline: float, request: StepRequest, watch: Callable[[], None]
) -> Iterator[dict[str, Any]]:
    while True:
        watch()
        if time.monotonic() > deadline:
            raise LimitExceeded(
                f"{request.step} took longer than {request.settings.step_time_limit:.0f} s",
                remedy="raise AMPHIPOD_STEP_TIME_LIMIT if the source is that long",
                job=request.job,
                step=request.step,
            )
        if not select.select([child.reader], [], [], POLL)[0]:
            continue
        chunk = os.read(child.reader, 1 << 16)
        if not chunk:
            return
        *lines, child.buffer = (child.buffer + chunk).split(b"\n")
        for line in lines:
            yield json.loads(line)


def _relog(event: dict[str, Any], request: StepRequest) -> None:
    level = event.pop("level", "info")
    words = event.pop("event", "")
    event.pop("timestamp", None)
    logger = _log.bind(job=request.job, step=request.step)
    getattr(logger, level if level in ("debug", "info", "warning", "error", "critical") else "info")(words, **event)


def _obituary(code: int, complaints: Path, step: str) -> str:
    try:
        lines = complaints.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except FileNotFoundError:
        lines = []
    last = f": {lines[-1]}" if lines else ""
    if code >= 0:
        return f"the process of {step} ended with status {code} and no answer{last}"
    name = signal.Signals(-code).name
    hint = " (out of memory?)" if -code == signal.SIGKILL else ""
    return f"the process of {step} was killed by {name}{hint}{last}"
