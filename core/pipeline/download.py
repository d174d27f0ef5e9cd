"""Brings files of a portal here that no mount shows: a job's downloads, before its first step that needs them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

from core.errors import BadCall, BadSource
from core.http import addresses
from core.model import Download, Job
from core.pipeline import transfer
from core.pipeline.transfer import Bounds
from core.settings import Settings
from core.storage.files import disk_errors, make_folder


def check(url: str, settings: Settings) -> None:
    """Refuse an address that a stranger's job may not be fetched from.

    Raises:
        BadCall
    """
    check_among(url, settings.fetch_hosts, only=bool(settings.fetch_hosts), name="AMPHIPOD_FETCH_HOSTS")


def check_among(url: str, hosts: Sequence[str], *, only: bool, name: str) -> str:
    """Return the address if it is on one of the hosts or, unless these are the only ones, public.

    `name` is the setting that has the hosts. The job's own host checks again when it connects.

    Raises:
        BadCall
    """
    try:
        host, port = addresses.host_of(url)
    except ValueError as error:
        raise BadCall(f"{url!r} is no address of the web", remedy="write https://host/lecture.mp4") from error
    if host in hosts:
        return url
    if only:
        raise BadCall(f"host {host} is not allowed", remedy=f"add it to {name}")
    try:
        addresses.public(host, port or 443)
    except BadSource as error:
        raise BadCall(error.message, remedy=f"name the host in {name} if it is yours") from error
    except OSError as error:
        raise BadCall(f"host {host} is not known here", remedy="check the address") from error
    return url


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
    transfer.save(
        download.url, new, bounds, only_public=download.guarded and is_stranger_s(download.url, settings), watch=watch
    )
    with disk_errors(new):
        new.replace(download.path)


def is_stranger_s(url: str, settings: Settings) -> bool:
    """Tell whether an address may only be asked if it is public: no setting names its host."""
    ours = (*settings.fetch_hosts, *settings.runner_hosts, *addresses.hosts_of(settings.pod_api_url))
    return not set(addresses.hosts_of(url)) & set(ours)
