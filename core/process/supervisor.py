"""A step in a supervised child process.

The worker's own threads (heartbeat, lease) go on while C code computes, a limit or a cancel ends the whole process
group at once, and a decoder that crashes takes down nothing but an attempt.

The child gets one JSON line on its standard input and answers with JSON lines on a pipe of their own, so that
nothing a library prints can be taken for an answer. It ends when its parent does: standard input closes, and the
kernel sends SIGKILL (PR_SET_PDEATHSIG).

The child of a step that is declared so is kept for the next job when it has succeeded (core/process/spawn.py).
"""

from __future__ import annotations

import base64
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

from core import errors
from core.context import Progress
from core.errors import LimitExceeded, StepCrashed
from core.process import confinement, messages, spawn
from core.process.messages import Message, StepAnswer, StepRequest
from core.process.spawn import Child, Key, keeper
from core.storage import files

#: Seconds between two looks at the clock and at `watch` while the child says nothing.
POLL = 0.25

#: File in an attempt's scratch folder that holds what its child has said on standard output and error.
COMPLAINTS = "stderr.log"

#: Bytes of that file that are shown when its child has died.
_LAST_WORDS = 4096

_LEVELS = ("debug", "info", "warning", "error", "critical")

#: What a line of the log has from us, whatever the child says, or what structlog would act upon.
_OURS = ("self", "event", "level", "timestamp", "correlation_id", "host", "exc_info", "stack_info", "positional_args")

_log = structlog.get_logger()


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
        LimitExceeded: it ran for longer than `settings.step_time_limit`, or computed more than `step_cpu_limit` allows.
        AmphipodError: whatever the step itself raised.
    """
    deadline = time.monotonic() + request.settings.step_time_limit
    complaints = request.scratch / COMPLAINTS
    key = Key.of(request.settings, request.access, request.plan.options)
    child = keeper.take(key) if request.kept else None
    child = child or spawn.start(key, complaints, kept=request.kept)
    answer = None
    try:
        child.send(request.model_copy(update={"filter": _filter(request, child)}).model_dump_json())
        for message in _messages(child, deadline, request, watch):
            if message.progress:
                on_progress(Progress(*message.progress))
            elif message.log is not None:
                _relog(message.log, request)
            elif message.error:
                raise _with_trace(message.error.rebuilt(), message.trace, request.step)
            elif message.answer:
                answer = message.answer
                files.remove(request.scratch.parent / f"{request.step}.kept")
                return answer
        last_words, code = _last_words(complaints), child.wait()
        if code == -signal.SIGXCPU:
            raise LimitExceeded(
                f"{request.step} took more CPU time than sources of this length may",
                remedy="raise AMPHIPOD_STEP_CPU_LIMIT if it has to",
                job=request.job,
                step=request.step,
            )
        death = StepCrashed(_obituary(code, last_words, request.step), job=request.job, step=request.step)
        raise _with_trace(death, "\n".join(last_words), request.step)
    finally:
        if answer and request.kept:
            keeper.put(child)
        else:
            if answer:
                child.wait()
            child.end()
        with suppress(OSError):  # not empty: what this attempt has saved there is for the next one
            (request.scratch.parent / f"{request.step}.kept").rmdir()


def _filter(request: StepRequest, child: Child) -> str:
    if request.settings.confinement == "off":
        return ""
    access = request.access
    program = confinement.compiled(child.process.pid, network=access.network, programs=access.programs)
    return base64.b64encode(program).decode()


def _messages(child: Child, deadline: float, request: StepRequest, watch: Callable[[], None]) -> Iterator[Message]:
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
        if len(child.buffer) > messages.LONGEST:
            raise _strange(f"more than {messages.LONGEST} bytes at once", request)
        for line in lines:
            try:
                yield messages.read(line)
            except ValueError as error:
                raise _strange(str(error), request) from error


def _strange(words: str, request: StepRequest) -> StepCrashed:
    """Return the error for what no step's process says: a decoder in it has been taken over, or a library is broken."""
    return StepCrashed(
        f"the process of {request.step} said what can't be understood ({words})", job=request.job, step=request.step
    )


def _relog(event: dict[str, Any], request: StepRequest) -> None:
    """Log a line of the child's, which can't say that it is about another job."""
    level, words = str(event.get("level")), str(event.get("event", ""))
    about = {"part": request.work.part.name} if request.work.part else {}
    about |= {"job": request.job, "step": request.step}
    told = {name: value for name, value in event.items() if name not in _OURS and name[:1] != "_"}
    logger = _log.bind(**about)
    getattr(logger, level if level in _LEVELS else "info")(words, **{**told, **about})


def _with_trace(error: errors.AmphipodError, trace: str, step: str) -> errors.AmphipodError:
    """Have whoever logs this error's trace also show what the child said."""
    if trace:
        error.add_note(f"\nIn the process of {step}:\n{trace}")
    return error


def _last_words(complaints: Path) -> list[str]:
    """Return the end of what a child that died has printed."""
    try:
        with complaints.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _LAST_WORDS))
            return file.read().decode(errors="replace").strip().splitlines()
    except OSError:
        return []


def _obituary(code: int, last_words: list[str], step: str) -> str:
    last = f": {last_words[-1]}" if last_words else ""
    if code >= 0:
        return f"the process of {step} ended with status {code} and no answer{last}"
    name = signal.Signals(-code).name
    hint = " (out of memory?)" if -code == signal.SIGKILL else ""
    return f"the process of {step} was killed by {name}{hint}{last}"
