"""What can be asked of whoever does the jobs: workers behind a broker, or this process."""

from __future__ import annotations

from typing import Protocol

from core import jobs
from core.model import Job, Step
from core.settings import Settings


class JobService(Protocol):
    """Each method raises UnknownJob for a job that nobody knows, OutOfReach where Redis does not answer."""

    def submit(self, job: Job) -> None:
        """Store a job, to be done when its turn comes; the same request again is the same job.

        Raises:
            JobConflict: its id belongs to a different request.
        """

    def cancel(self, job: str) -> None:
        """Stop a job, waiting or running.

        Raises:
            JobConflict: it is over.
        """

    def retry(self, job: str, step: Step | None = None) -> None:
        """Run again what failed or was cancelled, or only one step of it; what succeeded is kept.

        Raises:
            JobConflict: it is not over, or has succeeded; the step has not failed.
        """

    def tell(self, job: str) -> None:
        """Tell a portal once more that was given up.

        Raises:
            BadCall: none was.
        """


class QueuedWork:
    """Jobs go on the queues, and workers do them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def submit(self, job: Job) -> None:
        jobs.send(job, self._settings)

    def cancel(self, job: str) -> None:
        jobs.cancel(job, settings=self._settings)

    def retry(self, job: str, step: Step | None = None) -> None:
        jobs.retry(job, step=step, settings=self._settings)

    def tell(self, job: str) -> None:
        jobs.tell(job, settings=self._settings)
