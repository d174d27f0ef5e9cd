"""One request to a portal: its certificate is checked, no redirect is followed, it may not take for ever."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core import backoff
from core.http.sessions import Line, as_it_is, read, session
from core.settings import Settings

if TYPE_CHECKING:
    import requests

#: Seconds that a portal gets to accept a connection.
_CONNECT_LIMIT = 10.0

#: Bytes of an answer that are read.
_ANSWER_LIMIT = 1 << 20

#: Characters of an answer that are kept for a person.
_WORDS_LIMIT = 300


@dataclass(frozen=True)
class Answer:
    """What came back."""

    #: HTTP's; 0 when nothing came.
    status: int
    body: bytes = b""
    #: Why nothing came.
    fault: str = ""
    #: The request may have been acted on, whatever the answer says: the connection broke, or the receiver did.
    unclear: bool = False
    #: Seconds that the receiver asks to be left alone for.
    retry_after: float | None = None

    @property
    def words(self) -> str:
        """The answer in one line for a person."""
        if not self.status:
            return self.fault
        return f"{self.status} {' '.join(self.body.decode(errors='replace').split())}"[:_WORDS_LIMIT].rstrip()

    def json(self) -> Any:
        """Return the body's JSON, None if it has none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


def post(url: str, body: bytes, headers: Mapping[str, str], settings: Settings, *, only_public: bool = False) -> Answer:
    """Send JSON.

    Raises:
        BadSource: only a public address may be told, and this one is private.
    """
    whole = {"Content-Type": "application/json", **headers}
    return _request("POST", url, body, whole, settings, only_public=only_public)


def get(url: str, headers: Mapping[str, str], settings: Settings, *, only_public: bool = False) -> Answer:
    """Ask.

    Raises:
        BadSource: only a public address may be asked, and this one is private.
    """
    return _request("GET", url, None, headers, settings, only_public=only_public)


def _request(
    method: str,
    url: str,
    body: bytes | None,
    headers: Mapping[str, str],
    settings: Settings,
    *,
    only_public: bool = False,
) -> Answer:
    import requests
    import urllib3

    until = time.monotonic() + settings.callback_time_limit
    try:
        with (
            closing(Line()) as line,
            line.cut_after(settings.callback_time_limit),
            session(only_public=only_public, line=line) as asking,
            asking.request(
                method,
                url,
                data=body,
                headers={"User-Agent": "amphipod", **headers},
                auth=as_it_is,
                timeout=(_CONNECT_LIMIT, settings.callback_time_limit),
                allow_redirects=False,
                stream=True,
            ) as response,
        ):
            if line.is_cut:  # half of a head reads like a whole one
                raise requests.ReadTimeout
            found = read(response, until=until, largest=_ANSWER_LIMIT)
            return Answer(
                response.status_code,
                found,
                unclear=response.status_code >= 500,
                retry_after=backoff.retry_after(response.headers.get("Retry-After"), response.headers.get("Date")),
            )
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        return _unanswered(error, settings.callback_time_limit, until)


def _unanswered(error: Exception, limit: float, until: float) -> Answer:
    import requests

    if isinstance(error, requests.Timeout) or time.monotonic() >= until:
        unclear = not isinstance(error, requests.ConnectTimeout)
        return Answer(0, fault=f"no answer within {limit:.0f} s", unclear=unclear)
    if isinstance(error, requests.RequestException):
        return Answer(0, fault=_reason(error), unclear=not _never_left(error))
    return Answer(0, fault=str(error), unclear=True)  # while the answer was read


def _never_left(error: requests.RequestException) -> bool:
    """Tell whether the fault came before the request was sent."""
    import requests
    from urllib3.exceptions import NewConnectionError

    cause = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(error, (requests.exceptions.SSLError, ValueError)) or isinstance(cause, NewConnectionError)


def _reason(error: requests.RequestException) -> str:
    """Return what is wrong, without urllib3's names of classes around it."""
    cause = error.args[0] if error.args else error
    return str(getattr(cause, "reason", None) or cause).rpartition(">: ")[2]
