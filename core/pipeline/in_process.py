"""A whole job in this process, without a queue."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextvars import copy_context

import structlog

from core.context import Progress
from core.errors import (
    Cancelled,
    StepCrashed,
    Transient,
)
from core.model import Division, Manifest, Part, State, Step, StepResult
from core.pipeline import parts
from core.pipeline.attempt import Observer, divide, run_join, run_part, run_step
from core.pipeline.graph import next_step
from core.pipeline.lifecycle import finish, give_up
from core.pipeline.planning import Host
from core.storage import claim, job_state
from core.storage.job_folder import JobFolder
from core.storage.job_state import FINISH

_log = structlog.get_logger()


def run_embedded(
    host: Host,
    folder: JobFolder,
    *,
    jobs: int = 1,
    on_progress: Callable[[str, Progress], None] = lambda step, progress: None,
    on_end: Callable[[str, State], None] = lambda step, state: None,
    watch: Callable[[], None] = lambda: None,
) -> Manifest:
    """Run a job to its end in this process, without a queue; `jobs` parts of a divided step at a time.

    `on_progress` hears of each step from its beginning, of the last, `FINISH`, too; `on_end` how it stands in the end.
    A step that crashes is tried again; one that meets a full disk or a service out of reach fails at once, because
    somebody is waiting. `watch` is called several times a second while a step runs; what it raises ends the attempt as
    if it had never begun, and leaves here.

    Raises:
        JobConflict: another process is at it.
    """
    about = {"job": folder.id, "correlation_id": folder.job().correlation}
    with claim.held(folder), structlog.contextvars.bound_contextvars(**about):
        while step := next_step(folder):
            beginning = "publishing" if step == FINISH else folder.job().spec(step).doing
            on_progress(step, Progress(0, 0, 0, beginning))
            try:
                if step == FINISH:
                    finish(host, folder)
                else:
                    _run_embedded_step(host, folder, step, jobs, on_progress, watch)
            except StepCrashed as error:
                _log.warning("attempt failed", step=step, reason=str(error), exc_info=True)
            except Transient as error:
                give_up(host, folder, step, error)
            except Cancelled:
                continue
            if result := job_state.result(folder, step, folder.run()):
                on_end(step, result.state)
    return job_state.fold(folder)


def _run_embedded_step(
    host: Host,
    folder: JobFolder,
    step: Step,
    jobs: int,
    on_progress: Callable[[str, Progress], None],
    watch: Callable[[], None],
) -> None:
    def report(progress: Progress) -> None:
        on_progress(step, progress)

    observer = Observer(report, watch)
    division = divide(host, folder, step, observer) if jobs > 1 else Division()
    if isinstance(division, StepResult):
        return
    if not division.parts:
        run_step(host, folder, step, observer=observer)
        return
    _run_parts(host, folder, step, division, jobs, report, watch)
    if not job_state.result(folder, step, folder.run()):
        whole = observer.telling(lambda far: report(Progress(1, 1, 0, far.doing)))
        run_join(host, folder, step, division, whole)


def _run_parts(
    host: Host,
    folder: JobFolder,
    step: Step,
    division: Division,
    jobs: int,
    on_progress: Callable[[Progress], None],
    watch: Callable[[], None],
) -> None:
    """Do all parts, `jobs` at a time, or none to its end when one fails or this process is interrupted."""
    whole = parts.Sum(division, on_progress)
    shared = host.settings.threads or max(1, (os.cpu_count() or 1) // jobs)
    each = Host(host.settings.model_copy(update={"threads": shared}), host.manager)
    stopped = threading.Event()

    def watch_all() -> None:
        watch()
        if stopped.is_set():
            raise Cancelled

    def run(part: Part) -> None:
        while True:
            try:
                run_part(each, folder, step, part, Observer(whole.reporter(part), watch_all))
                return
            except StepCrashed as error:
                _log.warning("attempt failed", step=step, part=part.name, reason=str(error), exc_info=True)

    with ThreadPoolExecutor(jobs, thread_name_prefix=step) as pool:
        try:
            for done in as_completed([pool.submit(copy_context().run, run, part) for part in division.parts]):
                done.result()
        except BaseException:
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
