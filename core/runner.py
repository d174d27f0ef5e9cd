"""A step in a supervised child process.

The worker's own threads (heartbeat, lease) go on while C code computes, a limit or a cancel ends the whole process
group at once, and a decoder that crashes takes down nothing but an attempt.

The child gets one JSON line on its standard input and answers with JSON lines on a pipe of their own, so that
nothing a library prints can be taken for an answer. It ends when its parent does: standard input closes, and the
kernel sends SIGKILL (PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import structlog

from core import errors, settings
from core.context import Progress
from core.errors import LimitExceeded, StepCrashed
from core.model import Division, Engine, Manifest, Model, Plan, Step, StepOutput, Work
from core.settings import Settings

#: Seconds between two looks at the clock and at `watch` while the child says nothing.
POLL = 0.25

#: Seconds that a child may take to exit once it has answered.
_EXIT_GRACE = 10.0

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
    complaints = request.scratch / "stderr.log"
    reader, writer = os.pipe()
    deadline = time.monotonic() + request.settings.step_time_limit
    try:
        process = _spawner().submit(_spawn, writer, complaints).result()
    except BaseException:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    try:
        with contextlib.suppress(BrokenPipeError):
            assert process.stdin is not None
            process.stdin.write(request.model_dump_json().encode() + b"\n")
            process.stdin.flush()
        for message in _messages(reader, deadline, request, watch):
            if "progress" in message:
                on_progress(Progress(*message["progress"]))
            elif "log" in message:
                _relog(message["log"], request)
            elif "error" in message:
                raise errors.from_dict(message["error"])
            elif "answer" in message:
                _wait(process)
                return StepAnswer.model_validate(message["answer"])
        raise StepCrashed(_obituary(_wait(process), complaints, request.step), job=request.job, step=request.step)
    finally:
        os.close(reader)
        _end(process)


def _spawn(writer: int, complaints: Path) -> subprocess.Popen[bytes]:
    with complaints.open("wb") as stderr:
        return subprocess.Popen(
            # -P: the folder we are started from must not shadow `core` or `plugins`.
            [sys.executable, "-P", "-m", "core.child", str(writer)],
            stdin=subprocess.PIPE,
            stdout=stderr,
            stderr=stderr,
            pass_fds=(writer,),
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
    reader: int, deadline: float, request: StepRequest, watch: Callable[[], None]
) -> Iterator[dict[str, Any]]:
    buffer = b""
    while True:
        watch()
        if time.monotonic() > deadline:
            raise LimitExceeded(
                f"{request.step} took longer than {request.settings.step_time_limit:.0f} s",
                remedy="raise AMPHIPOD_STEP_TIME_LIMIT if the source is that long",
                job=request.job,
                step=request.step,
            )
        if not select.select([reader], [], [], POLL)[0]:
            continue
        chunk = os.read(reader, 1 << 16)
        if not chunk:
            return
        *lines, buffer = (buffer + chunk).split(b"\n")
        for line in lines:
            yield json.loads(line)


def _relog(event: dict[str, Any], request: StepRequest) -> None:
    level = event.pop("level", "info")
    words = event.pop("event", "")
    event.pop("timestamp", None)
    logger = _log.bind(job=request.job, step=request.step)
    getattr(logger, level if level in ("debug", "info", "warning", "error", "critical") else "info")(words, **event)


def _wait(process: subprocess.Popen[bytes]) -> int:
    try:
        return process.wait(_EXIT_GRACE)
    except subprocess.TimeoutExpired:
        _end(process)
        return process.wait()


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the child's process group, itself included, and reap it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()


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
