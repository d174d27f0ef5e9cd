"""The process that does steps, one after the other: `python -P -m core.process.child FD`, started by supervisor.py."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from pathlib import Path
from typing import Any

import structlog

from core.context import Context, Progress
from core.errors import AmphipodError, HookFailed
from core.model import Division
from core.plugin_host.manager import Manager
from core.process import dispatch, fence, parent
from core.process.messages import StepAnswer, StepRequest
from core.process.supervisor import COMPLAINTS
from core.storage import commit
from core.storage.files import disk_errors
from core.storage.job_folder import JobFolder
from core.storage.scratch_folder import Scratch

#: Characters of an error's trace that reach the parent's log; its end says most.
_TRACE_LIMIT = 6_000

#: Seconds by which an idle child outlives the time for which its parent would still use it.
_IDLE_MARGIN = 2.0

Send = Callable[[dict[str, Any]], None]


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    parent.be_sent(signal.SIGKILL)
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_follow_parent, args=[requests], name="parent-watch", daemon=True).start()
    request = StepRequest.model_validate_json(requests.get())
    if os.getppid() != request.parent:
        return  # it died before the kernel knew that we wanted to follow it
    send = _sender(int(sys.argv[1]))
    _send_logs(send, request.settings.log_level)
    _serve(request, send, fence.begin)
    while request.kept:
        try:
            line = requests.get(timeout=request.settings.keep_seconds + _IDLE_MARGIN)
        except queue.Empty:
            return
        request = StepRequest.model_validate_json(line)
        _complain_to(request.scratch / COMPLAINTS)
        _serve(request, send)


def _serve(request: StepRequest, send: Send, prepare: Callable[[StepRequest], None] = lambda request: None) -> None:
    try:
        prepare(request)
        # In a thread of its own: what a thread is shut off from stays shut, and the next job reads other files.
        with ThreadPoolExecutor(1, thread_name_prefix="step") as thread:
            made = thread.submit(_run, request, send).result()
        answer: dict[str, Any] = {"answer": made.model_dump(mode="json")}
    except AmphipodError as error:
        if isinstance(error.__cause__, PermissionError) and not error.remedy:
            error.remedy = "a plugin that needs more than its job's files says so with the hook child_access"
        trace = (isinstance(error, HookFailed) and error.trace) or traceback.format_exc()
        answer = {"error": error.to_dict(), "trace": trace[-_TRACE_LIMIT:]}
    if request.kept:
        _complain_to(Path(os.devnull))  # a file of the attempt's that stays open would outlive its folder on NFS
    send(answer)


def _complain_to(path: Path) -> None:
    """Send what libraries print, on standard output and error, to `path`."""
    with path.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)


def _run(request: StepRequest, send: Send) -> StepAnswer:
    folder = JobFolder(request.root, request.job)
    scratch = Scratch(request.scratch, request.step, request.attempt)

    def report(progress: Progress) -> None:
        send({"progress": astuple(progress)})

    context = Context(
        step=request.step,
        attempt=request.attempt,
        workdir=scratch.work,
        output=scratch.output,
        published=request.published,
        manifest=request.manifest,
        job_folder=folder.path,
        log=structlog.get_logger(),
        threads=request.settings.threads,
        report=report,
        lasts=lambda seconds: fence.limit_cpu(request.settings, seconds),
    )
    with disk_errors(scratch.path):
        manager = Manager(request.settings)
        job = folder.job()
        fence.shut(request, job)
        engine, made = dispatch.run(request.step, request.work, manager, job, request.plan, context)
    if isinstance(made, Division):
        return StepAnswer(engine=engine, division=made)
    artifacts = commit.measure(made.artifacts, scratch.output)
    return StepAnswer(engine=engine, output=made.model_copy(update={"artifacts": artifacts}))


def _follow_parent(requests: queue.SimpleQueue[bytes]) -> None:
    """Pass on each line of standard input; when it closes, end this process and its children: nobody waits any more.

    By os.read, because a lock of sys.stdin that this thread holds would stop the interpreter's exit.
    """
    rest = b""
    with contextlib.suppress(OSError):
        while chunk := os.read(0, 1 << 16):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                requests.put(line)
    os.killpg(0, signal.SIGKILL)


def _sender(descriptor: int) -> Send:
    lock = threading.Lock()
    pipe = os.fdopen(descriptor, "w", encoding="utf-8")

    def send(message: dict[str, Any]) -> None:
        with lock:
            pipe.write(json.dumps(message) + "\n")
            pipe.flush()

    return send


class _PipeHandler(logging.Handler):
    def __init__(self, send: Send) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        self._send({"log": json.loads(self.format(record))})


def _send_logs(send: Send, level: str) -> None:
    """Send log lines to the parent, which knows where they go; those at info go into the job's story in any case."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.format_exc_info,
    ]
    handler = _PipeHandler(send)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(default=str),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(min(logging.INFO, logging.getLevelNamesMapping()[level.upper()]))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


if __name__ == "__main__":
    main()
