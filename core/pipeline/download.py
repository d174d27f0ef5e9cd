"""Brings files of a portal here that no mount shows: a job's downloads, before its first step that needs them."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable

from core.errors import BadCall, BadSource, OutOfReach
from core.http import addresses
from core.model import Download, Job
from core.settings import Settings
from core.storage.files import disk_errors, make_folder

#: Seconds that a server gets to accept a connection, and to send the next piece.
_LIMITS = (10.0, 60.0)

_PIECE = 1 << 20


def check(url: str, settings: Settings) -> None:
    """Refuse an address that a stranger's job may not be fetched from.

    Raises:
        BadCall
    """
    try:
        host, port = addresses.host_of(url)
    except ValueError as error:
        raise BadCall(f"{url!r} is no address of the web", remedy="write https://host/lecture.mp4") from error
    if settings.fetch_hosts:
        if host not in settings.fetch_hosts:
            raise BadCall(f"nothing is fetched from {host}", remedy="add it to AMPHIPOD_FETCH_HOSTS")
        return
    try:
        found = socket.getaddrinfo(host, port or 443, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise BadCall(f"host {host} is not known here", remedy="check the address") from error
    if any(not addresses.is_public(str(one[4][0])) for one in found):
        raise BadCall(f"{host} is at a private address", remedy=addresses.REMEDY)


def fetch(job: Job, settings: Settings, watch: Callable[[], None] = lambda: None) -> None:
    """Fetch what is not there yet; `watch` is called after each piece, and may raise.

    Raises:
        BadSource: the portal has no such file, or it may not be fetched.
        OutOfReach: it does not answer now, or broke off.
    """
    for download in job.downloads:
        if not download.path.exists():
            _fetch(download, settings, watch)


def _fetch(download: Download, settings: Settings, watch: Callable[[], None]) -> None:
    import requests

    limit = settings.web_upload_limit  # of what is written: an answer of some bytes may unfold to gigabytes
    make_folder(download.path.parent)
    new = download.path.with_name(f".{download.path.name}.{secrets.token_hex(6)}")
    try:
        with (
            disk_errors(new),
            new.open("xb") as file,
            addresses.session(only_public=download.guarded and not settings.fetch_hosts) as session,
            session.get(download.url, stream=True, timeout=_LIMITS, allow_redirects=False) as answer,
        ):
            _check(download, answer.status_code)
            for piece in answer.iter_content(_PIECE):
                file.write(piece)
                if file.tell() > limit:
                    words = f"{download.url} has more than {limit} bytes"
                    raise BadSource(words, remedy="raise AMPHIPOD_WEB_UPLOAD_LIMIT")
                watch()
            file.flush()
            os.fsync(file.fileno())
            whole = answer.headers.get("Content-Length")
            if whole and not answer.headers.get("Content-Encoding") and int(whole) != file.tell():
                raise OutOfReach(f"{download.url}: only {file.tell()} of {whole} bytes came")
        new.replace(download.path)
    except requests.RequestException as error:
        raise OutOfReach(f"{download.url} can't be fetched ({error})") from error
    finally:
        new.unlink(missing_ok=True)


def _check(download: Download, status: int) -> None:
    if status == 200:
        return
    if status == 429 or status >= 500:
        raise OutOfReach(f"{download.url} answers {status}")
    raise BadSource(f"{download.url} answers {status}", remedy="is the address right, and may this host read it?")
