"""Brings files of a portal here that no mount shows: a job's downloads, before its first step that needs them."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable

from core.errors import BadSource, OutOfReach
from core.model import Download, Job
from core.storage import disk_errors

#: Seconds that a server gets to accept a connection, and to send the next piece.
_LIMITS = (10.0, 60.0)

_PIECE = 1 << 20


def fetch(job: Job, watch: Callable[[], None] = lambda: None) -> None:
    """Fetch what is not there yet; `watch` is called after each piece, and may raise.

    Raises:
        BadSource: the portal has no such file.
        OutOfReach: it does not answer now, or broke off.
    """
    for download in job.downloads:
        if not download.path.exists():
            _fetch(download, watch)


def _fetch(download: Download, watch: Callable[[], None]) -> None:
    import requests

    download.path.parent.mkdir(parents=True, exist_ok=True)
    new = download.path.with_name(f".{download.path.name}.{secrets.token_hex(6)}")
    try:
        with (
            disk_errors(new),
            new.open("xb") as file,
            requests.get(download.url, stream=True, timeout=_LIMITS, allow_redirects=False) as answer,
        ):
            _check(download, answer.status_code)
            for piece in answer.iter_content(_PIECE):
                file.write(piece)
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
