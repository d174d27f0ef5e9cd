"""Without a broker `amphipod serve` does the jobs, one at a time, as `run` does: heavy steps in child processes."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from bisect import insort
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import structlog

from core.callbacks import delivery as callbacks_delivery
from core.context import Progress
from core.errors import AmphipodError, BadCall, JobConflict, UnknownJob
from core.model import Job, Step, now
from core.pipeline import graph, in_process, lifecycle
from core.pipeline.planning import Host
from core.pod import callback_kinds
from core.queue.job_row import StepProgress
from core.retention import sweep
from core.storage import deliveries, files, job_folder, job_state
from core.storage.job_folder import JobFolder
from core.storage.job_state import FINISH

#: Seconds until a job that another process holds is looked at again.
_AGAIN = 5.0

_RANK = {"high": 0, "normal": 1, "low": 2}

_log = structlog.get_logger()


class Stopped(BaseException):
    """The server ends: what runs is left as if it had not begun, and taken up by the next one."""


@dataclass(frozen=True)
class AtWork:
    """A job that is being done, and how far its step is."""

    job: str
    step: str
    since: datetime
    progress: StepProgress | None


class LocalWorker:
    """Does the jobs of one folder in a thread; tells portals of their ends, and frees the disk, in two others."""

    def __init__(self, host: Host, changed: Callable[[str], None]) -> None:
        """Work with `host`; `changed` is told of each job that is further than it was."""
        self._host = host
        self._contracts = callback_kinds.contracts(host.manager)
        self._root = host.settings.jobs_root
        self._changed = changed
        self._wake = threading.Condition()
        #: By priority, then by age.
        self._waiting: list[tuple[int, datetime, str]] = []
        self._again: list[tuple[float, str]] = []
        self._due: list[tuple[float, str, str]] = []
        self._stopping = False
        self._current: AtWork | None = None
        self._lock: int | None = None
        names = {"jobs": self._work, "callbacks": self._tell, "sweep": self._sweep}
        self._threads = [threading.Thread(target=run, name=name, daemon=True) for name, run in names.items()]

    # Its life

    def lock(self) -> None:
        """Make this the one process that works on the jobs root; once is enough.

        Raises:
            BadCall: another does.
        """
        if self._lock is not None:
            return
        with files.disk_errors(self._root):
            self._root.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._root / "serve.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise BadCall(
                f"another `amphipod serve` does the jobs of {self._root}",
                remedy="stop it, or choose another AMPHIPOD_JOBS_ROOT",
            ) from error
        self._lock = descriptor

    def start(self) -> None:
        """Take up what is unfinished, and begin.

        Raises:
            BadCall: as `lock`.
        """
        self.lock()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End what runs within a second or two, and let go of the folder."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        for thread in self._threads:
            if thread.ident:
                thread.join(5)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # What is asked of it

    def submit(self, job: Job) -> None:
        """Store a job, and do it when its turn comes; the same request again is the same job.

        Raises:
            JobConflict: its id belongs to a different request.
        """
        folder, _ = lifecycle.submit(job, self._root)
        self._take(folder)

    def cancel(self, job: str) -> None:
        """Stop a job, waiting or running.

        Raises:
            UnknownJob
            JobConflict: it is over.
        """
        folder = JobFolder(self._root, job)
        lifecycle.cancel(folder)
        with self._wake:
            self._waiting = [one for one in self._waiting if one[2] != job]
        with suppress(JobConflict):  # it is at work, and whoever does it notices
            self._do(folder)

    def retry(self, job: str, step: Step | None = None) -> None:
        """Run again what failed or was cancelled, or only one step of it.

        Raises:
            UnknownJob
            JobConflict: it is not over, or has succeeded; the step has not failed.
        """
        folder = JobFolder(self._root, job)
        lifecycle.retry(folder, step)
        self._take(folder)

    def tell(self, job: str) -> None:
        """Tell a portal once more that was given up.

        Raises:
            UnknownJob
            BadCall: none was.
        """
        deliveries.reopen(JobFolder(self._root, job))
        self._deliver(JobFolder(self._root, job))

    # What it shows

    def at_work(self) -> AtWork | None:
        """Return what is done now."""
        return self._current

    def line(self) -> list[str]:
        """Return the jobs that wait, the next one first."""
        with self._wake:
            return [job for _, _, job in self._waiting]

    # Doing jobs

    def _take(self, folder: JobFolder) -> None:
        if graph.next_step(folder) is None:
            return
        job = folder.job()
        entry = (_RANK[job.priority], job.created_at, job.id)
        with self._wake:
            if entry not in self._waiting and not (self._current and self._current.job == job.id):
                insort(self._waiting, entry)
            self._wake.notify_all()
        self._changed(job.id)

    def _work(self) -> None:
        for folder in self._unfinished():
            with suppress(UnknownJob, OSError, ValueError):
                self._take(folder)
        while job := self._next():
            try:
                self._do(JobFolder(self._root, job))
            except JobConflict:  # `amphipod run` or another is at it
                with self._wake:
                    self._again.append((time.monotonic() + _AGAIN, job))
            except Stopped:
                return
            except Exception as error:  # noqa: BLE001  # whatever is wrong with one job, the next one is done
                _log.error("job can't be done", job=job, reason=str(error), exc_info=True)

    def _unfinished(self) -> Iterator[JobFolder]:
        """Yield jobs that are not over, and have those told that somebody waits to hear of."""
        for name in sorted(job_folder.names(self._root)):
            if self._stopping:
                return
            folder = JobFolder(self._root, name)
            with suppress(UnknownJob, OSError, ValueError):
                if not folder.request.exists():
                    continue
                if not job_state.result(folder, FINISH, folder.run()):
                    yield folder
                elif folder.callbacks.exists():
                    self._deliver(folder)

    def _next(self) -> str | None:
        """Wait for a job whose turn it is; None when the server ends."""
        with self._wake:
            while not self._stopping:
                clock = time.monotonic()
                for one in [one for one in self._again if one[0] <= clock]:
                    self._again.remove(one)
                    self._again_now(one[1])
                if self._waiting:
                    return self._waiting.pop(0)[2]
                self._wake.wait(1 if self._again else None)
        return None

    def _again_now(self, job: str) -> None:
        with suppress(UnknownJob, OSError, ValueError):
            folder = JobFolder(self._root, job)
            if graph.next_step(folder) is not None:
                asked = folder.job()
                insort(self._waiting, (_RANK[asked.priority], asked.created_at, job))

    def _do(self, folder: JobFolder) -> None:
        """Do a job to its end; of one that was cancelled only that."""
        ours = threading.current_thread() in self._threads
        if ours:
            self._show(folder.id, graph.next_step(folder) or FINISH, None)

        def on_progress(step: str, far: Progress) -> None:
            if ours:
                about = StepProgress(done=far.done, total=far.total, speed=far.speed, host=files.host_name())
                self._show(folder.id, step, about if far.total > 0 else None)

        try:
            in_process.run_embedded(self._host, folder, on_progress=on_progress, watch=self._watch)
        finally:
            if ours:
                self._current = None
            self._changed(folder.id)
        self._deliver(folder)

    def _show(self, job: str, step: str, far: StepProgress | None) -> None:
        before = self._current
        same = before is not None and (before.job, before.step) == (job, step)
        self._current = AtWork(job, step, before.since if before and same else now(), far)
        self._changed(job)

    def _watch(self) -> None:
        if self._stopping:
            raise Stopped

    def _sweep(self) -> None:
        """Free the disk now and then, as the workers of `callbacks` do where there is a broker."""
        every = self._host.settings.sweep_seconds
        while every and not self._stopping:
            try:
                sweep.next_round(self._host.settings, lambda found: self._changed(found.job))
            except (AmphipodError, OSError, ValueError) as error:
                _log.warning("disk not swept", reason=str(error))
            with self._wake:
                self._wake.wait_for(lambda: self._stopping, every)

    # Telling portals

    def _deliver(self, folder: JobFolder) -> None:
        due = deliveries.due(folder)
        with self._wake:
            self._due += [(time.monotonic(), folder.id, delivery) for delivery in due]
            self._wake.notify_all()

    def _tell(self) -> None:
        while found := self._next_delivery():
            job, delivery = found
            folder = JobFolder(self._root, job)
            try:
                _, pause = callbacks_delivery.attempt(self._host.settings, folder, delivery, self._contracts)
            except (AmphipodError, OSError, ValueError) as error:
                _log.warning("portal not told", job=job, reason=str(error))
                continue
            if pause is not None:
                with self._wake:
                    self._due.append((time.monotonic() + pause, job, delivery))
            self._changed(job)

    def _next_delivery(self) -> tuple[str, str] | None:
        with self._wake:
            while not self._stopping:
                clock = time.monotonic()
                self._due.sort()
                if self._due and self._due[0][0] <= clock:
                    _, job, delivery = self._due.pop(0)
                    return job, delivery
                self._wake.wait(self._due[0][0] - clock if self._due else None)
        return None
