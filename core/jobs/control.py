"""What can still be done about a job: cancel, retry, tell its portal, resume."""

from __future__ import annotations

from core import settings as settings_module
from core.jobs import recovery
from core.jobs.submission import opened, send_next
from core.model import Step
from core.pipeline import lifecycle
from core.queue import monitor
from core.queue import status as queue_status
from core.redis import shared_root
from core.retention import holdings
from core.settings import Settings
from core.settings.redaction import discreet
from core.storage import deliveries as callbacks_module
from core.storage import job_folder
from core.storage.job_folder import JobFolder


@discreet
def cancel(job: str, *, settings: Settings | None = None) -> None:
    """Stop a job, waiting or running; whoever runs it ends within two seconds.

    Raises:
        UnknownJob, OutOfReach
        JobConflict: it is over.
    """
    settings = settings or settings_module.load()
    folder = JobFolder(settings.jobs_root, job)
    lifecycle.cancel(folder)
    if settings.broker_url:
        with opened(settings) as client:
            queue_status.request_cancel(client, job, folder.run())
            send_next(client, settings, folder)


@discreet
def retry(job: str, *, step: Step | None = None, settings: Settings | None = None) -> None:
    """Run the failed or cancelled steps of a job again, or only one of them; those that succeeded are kept.

    Raises:
        UnknownJob, OutOfReach
        JobConflict: it is not over, or has succeeded; the step has not failed.
    """
    settings = settings or settings_module.load()
    folder = JobFolder(settings.jobs_root, job)
    with opened(settings) as client:
        client.ping()
        lifecycle.retry(folder, step)
        queue_status.forget_progress(client, job)
        send_next(client, settings, folder)


@discreet
def tell(job: str, *, settings: Settings | None = None) -> None:
    """Tell the portal once more of a job's end, where it was given up.

    Raises:
        UnknownJob, OutOfReach
        BadCall: nothing was given up.
    """
    settings = settings or settings_module.load()
    folder = JobFolder(settings.jobs_root, job)
    folder.job()
    holdings.check_kept(folder, "submit it again")
    with opened(settings) as client:
        client.ping()
        callbacks_module.reopen(folder)
        send_next(client, settings, folder)


@discreet
def resume(*, settings: Settings | None = None, adopt: bool = False) -> list[str]:
    """Put back on their queues the jobs that are on none and are unfinished or have a portal to be told.

    After a loss of Redis' data; a worker of `callbacks` does it too, every few minutes. With `adopt` the jobs root of
    this host becomes the service's, whatever it was before. Returns their ids.

    Raises:
        OutOfReach
    """
    settings = settings or settings_module.load()
    with opened(settings) as client:
        if adopt:
            shared_root.adopt(client, settings.jobs_root)
        shared_root.claim(client, settings.jobs_root)
        known = monitor.queued_jobs(client)
        unknown = sorted(job_folder.names(settings.jobs_root).keys() - known)
        return recovery.put_back(client, settings, recovery.unsent(settings.jobs_root, unknown))
