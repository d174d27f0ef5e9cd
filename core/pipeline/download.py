"""Brings files of a portal here that no mount shows: a job's downloads, before its first step that needs them."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from core.http import strangers
from core.model import Download, Job
from core.pipeline import transfer
from core.pipeline.transfer import Bounds
from core.settings import Settings
from core.storage.files import disk_errors, make_folder


def fetch(job: Job, settings: Settings, watch: Callable[[], None] = lambda: None) -> None:
    """Fetch what is not there yet; `watch` is called several times a second, and may raise.

    Raises:
        BadSource: the portal has no such file, or it may not be fetched.
        OutOfReach: it does not answer now, or broke off.
        NoSpace, NotWritable
    """
    for download in job.downloads:
        if not download.path.exists():
            _fetch(download, settings, watch)


def _fetch(download: Download, settings: Settings, watch: Callable[[], None]) -> None:
    bounds = Bounds(
        size=settings.web_upload_limit,
        seconds=settings.fetch_time_limit,
        larger="raise AMPHIPOD_WEB_UPLOAD_LIMIT",
        longer="raise AMPHIPOD_FETCH_TIME_LIMIT",
    )
    new = download.path.with_name(f".{download.path.name[-200:]}.{secrets.token_hex(6)}")
    with disk_errors(new):
        make_folder(download.path.parent)
    only_public = download.guarded and strangers.is_one(download.url, settings)
    transfer.save(download.url, new, bounds, only_public=only_public, watch=watch)
    with disk_errors(new):
        new.replace(download.path)
