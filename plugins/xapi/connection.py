"""Requests to one learning record store: by a login, within a time for the whole answer, by our certificates."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.http.sessions import Line, as_it_is, read, session

if TYPE_CHECKING:
    import requests

    from plugins.xapi.settings import RecordStore

#: Seconds to reach the store at all.
_CONNECT = 10.0

#: Bytes of an answer that are read: the ids of a batch are a hundredth of it.
_ANSWER_LIMIT = 1 << 20


@dataclass(frozen=True)
class Answer:
    """What a store has answered."""

    status_code: int
    reason: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body's JSON.

        Raises:
            ValueError
        """
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")


class Connection:
    """A store's connection, kept open; one thread uses it."""

    def __init__(self, store: RecordStore, time_limit: float) -> None:
        self._store = store
        self._time_limit = time_limit
        self._open: tuple[requests.Session, Line] | None = None

    def post(self, body: str) -> Answer:
        """Send statements; once more if the store has closed the connection meanwhile, which their ids make harmless.

        Raises:
            requests.RequestException
        """
        import requests

        begun = time.monotonic()
        try:
            return self.ask("POST", data=body)
        except (requests.Timeout, requests.exceptions.SSLError):
            raise
        except requests.ConnectionError:
            return self.ask("POST", limit=max(self._time_limit - (time.monotonic() - begun), 1.0), data=body)

    def ask(self, method: str, *, url: str = "", limit: float | None = None, **about: Any) -> Answer:
        """Ask, and read the whole answer within the time limit; that of `requests` is for each piece of it.

        Raises:
            requests.RequestException
        """
        import requests

        seconds = self._time_limit if limit is None else limit
        asking, line = self._open = self._open or self._opened()
        until = time.monotonic() + seconds
        about |= {"timeout": (min(_CONNECT, seconds), seconds), "allow_redirects": False, "stream": True}
        if self._store.ca_file:  # said here, or the environment's bundle would come before it
            about["verify"] = str(self._store.ca_file)
        try:
            with line.cut_after(seconds):
                response = asking.request(method, url or self._store.url, **about)
                try:
                    body = _read(response, until)
                except BaseException:
                    response.close()
                    raise
            if line.is_cut:  # half of a head reads like a whole one
                raise requests.ReadTimeout("the answer did not end in time")
        except requests.RequestException as error:
            if not line.is_cut:
                raise
            self.close()
            raise requests.ReadTimeout("the answer did not end in time") from error
        return Answer(response.status_code, response.reason, response.headers, body)

    def close(self) -> None:
        if self._open:
            asking, line = self._open
            self._open = None
            asking.close()
            line.close()

    def __del__(self) -> None:  # its thread has ended
        self.close()

    def _opened(self) -> tuple[requests.Session, Line]:
        store, line = self._store, Line()
        new = session(only_public=False, line=line)
        new.headers.update({"X-Experience-API-Version": store.version, "Content-Type": "application/json"})
        new.auth = as_it_is
        if store.token:
            new.headers["Authorization"] = f"Bearer {store.token.get_secret_value()}"
        elif store.login is not None:
            new.auth = (store.login, store.password.get_secret_value() if store.password else "")
        return new, line


def _read(response: requests.Response, until: float) -> bytes:
    """Return an answer's body, of an endless one the beginning.

    Raises:
        requests.RequestException: it is not there in time, or breaks off.
    """
    import requests
    import urllib3

    try:
        body = read(response, until=until, largest=_ANSWER_LIMIT)
        if time.monotonic() >= until:
            raise requests.ReadTimeout("the answer did not end in time")
        if len(body) < _ANSWER_LIMIT:
            response.raw.drain_conn()
        else:
            response.close()
    except urllib3.exceptions.ReadTimeoutError as error:
        raise requests.ReadTimeout(error) from error
    except urllib3.exceptions.HTTPError as error:
        raise requests.ConnectionError(error) from error
    return body
