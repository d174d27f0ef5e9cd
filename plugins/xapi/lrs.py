"""One learning record store over HTTP: what is asked, and what its answers mean."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

import structlog

from core import Receipt, Statement

if TYPE_CHECKING:
    import requests

    from core.settings import RecordStore

#: Of xAPI; a strict store refuses a request without it.
_VERSION = "1.0.3"

#: Seconds to reach the store at all.
_CONNECT = 10.0

#: One of the statements is the reason; which one is found by halves.
_SPLIT = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.CONFLICT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
)

_BUSY = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)

#: Characters of a store's words that are kept.
_WORDS = 500

_log = structlog.get_logger()


class Client:
    """Connections to a store, kept open, one a thread."""

    def __init__(self, store: RecordStore, time_limit: float) -> None:
        self._store = store
        self._time_limit = time_limit
        self._local = threading.local()

    def deliver(self, statements: Sequence[Statement]) -> list[Receipt]:
        """Post statements in one array; a refused array is halved until the statement that spoils it stands alone."""
        import requests

        try:
            response = self._post(json.dumps(statements, separators=(",", ":"), default=dict))
        except (requests.RequestException, ValueError) as error:
            return _each(statements, _unreachable(error, self._store, self._time_limit))
        if response.status_code in _SPLIT and len(statements) > 1:
            return self._halves(statements)
        return _each(statements, self._judge(response, statements))

    def _post(self, body: str) -> requests.Response:
        """Ask once, or twice if the store has closed the connection meanwhile; ids make a repetition harmless."""
        import requests

        limits = (min(_CONNECT, self._time_limit), self._time_limit)
        try:
            return self._session().post(self._store.url, data=body, timeout=limits, allow_redirects=False)
        except (requests.Timeout, requests.exceptions.SSLError):
            raise
        except requests.ConnectionError:
            return self._session().post(self._store.url, data=body, timeout=limits, allow_redirects=False)

    def _halves(self, statements: Sequence[Statement]) -> list[Receipt]:
        half = len(statements) // 2
        receipts = self.deliver(statements[:half])
        last = receipts[-1]
        if last.outcome in ("retry", "blocked"):
            return receipts + _each(statements[half:], last)
        return receipts + self.deliver(statements[half:])

    def _judge(self, response: requests.Response, statements: Sequence[Statement]) -> Receipt:
        status, url = response.status_code, self._store.url
        if status == HTTPStatus.NO_CONTENT or (status == HTTPStatus.OK and _is_json(response)):
            return Receipt(statement_id="", outcome="delivered")
        if status == HTTPStatus.OK:
            return _blocked(f"{url} answers {_media_type(response)}, not JSON: is it a store's statements resource?")
        if status == HTTPStatus.CONFLICT:
            _log.warning("the store has this id with other content", store=self._store.name, id=statements[0].get("id"))
            return Receipt(statement_id="", outcome="delivered", words=_words(response))
        if status in _SPLIT:
            return Receipt(statement_id="", outcome="rejected", words=f"{status}: {_words(response)}")
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return _blocked(f"{url} refuses our login ({status}): check login and password of store {self._store.name}")
        if status in _BUSY or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return Receipt(
                statement_id="",
                outcome="retry",
                words=f"{url} answers {status}, it is tried again",
                retry_after=_retry_after(response),
            )
        location = f" and points to {response.headers['Location']}" if "Location" in response.headers else ""
        return _blocked(f"{url} answers {status}{location}: is it a store's statements resource (.../xAPI/statements)?")

    def _session(self) -> requests.Session:
        session = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = self._open()
        return cast("requests.Session", session)

    def _open(self) -> requests.Session:
        import requests

        session = requests.Session()
        session.headers.update({"X-Experience-API-Version": _VERSION, "Content-Type": "application/json"})
        store = self._store
        if store.token:
            session.headers["Authorization"] = f"Bearer {store.token.get_secret_value()}"
        elif store.login is not None:
            session.auth = (store.login, store.password.get_secret_value() if store.password else "")
        if store.ca_file:
            session.verify = str(store.ca_file)
        return session


def _each(statements: Sequence[Statement], receipt: Receipt) -> list[Receipt]:
    return [receipt.model_copy(update={"statement_id": str(one.get("id", ""))}) for one in statements]


def _blocked(words: str) -> Receipt:
    return Receipt(statement_id="", outcome="blocked", words=words)


def _unreachable(error: Exception, store: RecordStore, time_limit: float) -> Receipt:
    """Tell a fault that passes from one of the settings; the library's own words would differ each time."""
    import requests

    if isinstance(error, requests.exceptions.SSLError):
        return _blocked(f"{store.url}: {_root(error)}: check its certificate, or set `ca_file` of store {store.name}")
    if isinstance(error, requests.Timeout):
        words = f"{store.url} does not answer within {time_limit:.0f} s, it is tried again"
    elif isinstance(error, requests.ConnectionError):
        words = f"{store.url} can't be reached ({_root(error)}), it is tried again"
    elif isinstance(error, requests.RequestException) and not isinstance(error, ValueError):
        words = f"{store.url}: {type(error).__name__}, it is tried again"
    else:
        return _blocked(f"{store.url} is not an address: {error}")
    return Receipt(statement_id="", outcome="retry", words=words)


def _root(error: BaseException) -> str:
    """Return the words of the operating system or of the TLS library, below those of three others."""
    while True:
        below = getattr(error, "reason", None) or (error.args[0] if error.args else None)
        if not isinstance(below, BaseException):
            break
        error = below
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return re.sub(r"^\[.*?\] ", "", words.rpartition(": ")[2]) or type(error).__name__


def _is_json(response: requests.Response) -> bool:
    try:
        response.json()
    except ValueError:
        return False
    return True


def _media_type(response: requests.Response) -> str:
    return response.headers.get("Content-Type", "something").partition(";")[0]


def _words(response: requests.Response) -> str:
    """Return why a store refused, field by field where it says so (Ralph and other FastAPI services do)."""
    try:
        detail = cast("Any", response.json())
    except ValueError:
        return " ".join(response.text.split())[:_WORDS] or response.reason
    detail = detail.get("detail", detail) if isinstance(detail, Mapping) else detail
    if isinstance(detail, list) and all(isinstance(one, Mapping) and "loc" in one for one in detail):
        detail = "; ".join(f"{'.'.join(str(part) for part in one['loc'])}: {one.get('msg')}" for one in detail)
    return (detail if isinstance(detail, str) else json.dumps(detail))[:_WORDS]


def _retry_after(response: requests.Response) -> float | None:
    """Return the seconds of a Retry-After header; a date is left to our own pauses."""
    try:
        return float(response.headers["Retry-After"])
    except (KeyError, ValueError):
        return None
