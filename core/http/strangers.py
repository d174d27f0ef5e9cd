"""Addresses that somebody names by HTTP: on a host that a setting names, or public, so that nobody sees our network."""

from __future__ import annotations

from collections.abc import Sequence

from core.errors import BadCall, BadSource
from core.http import addresses
from core.settings import Settings


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


def check_source(url: str, settings: Settings) -> None:
    """Refuse an address that a stranger's job may not be fetched from.

    Raises:
        BadCall
    """
    check_among(url, settings.fetch_hosts, only=bool(settings.fetch_hosts), name="AMPHIPOD_FETCH_HOSTS")


def check_receiver(url: str, settings: Settings) -> None:
    """Refuse an address that may not be told of the end of a stranger's job.

    Raises:
        BadCall
    """
    check_among(url, settings.notify_hosts, only=bool(settings.notify_hosts), name="AMPHIPOD_NOTIFY_HOSTS")


def is_one(url: str, settings: Settings) -> bool:
    """Tell whether an address may only be asked, or told, if it is public: no setting names its host."""
    named = (*settings.fetch_hosts, *settings.notify_hosts, *settings.runner_hosts)
    return not set(addresses.hosts_of(url)) & {*named, *addresses.hosts_of(settings.pod_api_url)}
