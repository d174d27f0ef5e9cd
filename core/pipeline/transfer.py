"""One large file by HTTP, into a file: bounded in size and time, and ended within a second when nobody wants it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import BadSource, Cancelled, OutOfReach
from core.http.sessions import Line, session
from core.storage.files import disk_errors

if TYPE_CHECKING:
    import requests

#: Seconds that each address of a server gets to accept a connection.
_CONNECT_LIMIT = 10.0

#: A server must send so many bytes a second, counted over so many seconds; its head too must have come by then.
SLOWEST, WINDOW = 1024, 60.0

#: Seconds between two looks at whether the file is still wanted.
_LOOK_EVERY = 0.25

#: Seconds that the reader gets to see that its connection is cut.
_END_LIMIT = 2.0

_PIECE = 1 << 20


@dataclass(frozen=True)
class Bounds:
    """What a file may cost."""

    #: Bytes.
    size: int
    #: Seconds, all in all.
    seconds: float
    #: What to do about a file that is larger, or takes longer.
    larger: str
    longer: str


def save(url: str, path: Path, bounds: Bounds, *, only_public: bool, watch: Callable[[], None]) -> None:
    """Write what is at `url` into a new file; `watch` is called several times a second, and may raise.

    What has come of a file that is not whole is removed. No redirect is followed, and nothing is unpacked: an answer of
    some bytes may unfold to gigabytes.

    Raises:
        BadSource: there is no such file, it is too large or compressed, or it is at a private address.
        OutOfReach: the server does not answer now, is too slow, or broke off.
        NoSpace, NotWritable
    """
    reader = _Reader(url, path, bounds, only_public=only_public)
    reader.start()
    begun = window = time.monotonic()
    came = 0
    try:
        while not reader.is_over.wait(_LOOK_EVERY):
            watch()
            clock = time.monotonic()
            if clock - begun > bounds.seconds:
                raise BadSource(f"{url} has not come within {bounds.seconds:g} s", remedy=bounds.longer)
            if clock - window > WINDOW:
                if reader.size - came < SLOWEST * WINDOW:
                    words = f"of {url} only {reader.size - came} bytes came within {WINDOW:g} s"
                    raise OutOfReach(words, remedy="is its server, or the way to it, overloaded?")
                window, came = clock, reader.size
        watch()
    finally:
        reader.end()
    reader.check()


class _Reader(threading.Thread):
    """Reads, so that the thread that watches is never kept."""

    def __init__(self, url: str, path: Path, bounds: Bounds, *, only_public: bool) -> None:
        super().__init__(name="download", daemon=True)
        self._url = url
        self._path = path
        self._bounds = bounds
        self._only_public = only_public
        self._line = Line()
        self._fault: BaseException | None = None
        #: Bytes that have come.
        self.size = 0
        self.is_over = threading.Event()

    def run(self) -> None:
        try:
            self._read()
        except BaseException as error:  # noqa: BLE001  # raised again by whoever waits
            self._fault = error
        finally:
            self._line.close()
            self.is_over.set()

    def end(self) -> None:
        """Cut the connection; one that is only being made is given up when the system answers."""
        if not self.is_over.is_set():
            self._line.cut()
            self.join(_END_LIMIT)

    def check(self) -> None:
        """Raise what was met."""
        if self._fault:
            raise self._fault

    def _read(self) -> None:
        import requests
        import urllib3

        try:
            with (
                session(only_public=self._only_public, line=self._line) as asking,
                asking.get(
                    self._url,
                    headers={"Accept-Encoding": "identity", "User-Agent": "amphipod"},
                    stream=True,
                    timeout=(_CONNECT_LIMIT, WINDOW),
                    allow_redirects=False,
                ) as answer,
            ):
                self._check(answer)
                self._write(answer)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            # UnicodeError and LocationParseError are ValueErrors of requests, too.
            raise OutOfReach(f"{self._url} can't be fetched ({error})") from error

    def _check(self, answer: requests.Response) -> None:
        status = answer.status_code
        if status == 429 or status >= 500:
            raise OutOfReach(f"{self._url} answers {status}")
        if status in range(300, 400):
            raise BadSource(f"{self._url} answers {status}", remedy="name the address that it leads to")
        if status != 200:
            raise BadSource(f"{self._url} answers {status}", remedy="is the address right, and may this host read it?")
        if answer.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
            words = f"{self._url} is sent as {answer.headers['Content-Encoding'][:40]}, which was not asked for"
            raise BadSource(words, remedy="have its server send it as it is")
        length = answer.headers.get("Content-Length", "")
        if length.isascii() and length.isdigit() and int(length[:20]) > self._bounds.size:
            raise self._too_large()

    def _write(self, answer: requests.Response) -> None:
        with disk_errors(self._path):
            if self._line.is_cut:  # whoever waits has gone, and the folder perhaps too
                raise Cancelled
            file = self._path.open("xb")
        whole = False
        try:
            with file:
                while data := answer.raw.read1(_PIECE, decode_content=False):
                    self.size += len(data)
                    if self.size > self._bounds.size:
                        raise self._too_large()
                    with disk_errors(self._path):
                        file.write(data)
                if self._line.is_cut:
                    raise Cancelled
                if answer.raw.length_remaining:
                    raise OutOfReach(f"{self._url} broke off after {self.size} bytes")
                with disk_errors(self._path):
                    file.flush()
                    os.fsync(file.fileno())
            whole = True
        finally:
            if not whole:
                self._path.unlink(missing_ok=True)

    def _too_large(self) -> BadSource:
        return BadSource(f"{self._url} has more than {self._bounds.size} bytes", remedy=self._bounds.larger)
