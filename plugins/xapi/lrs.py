"""One learning record store over HTTP: what is asked, and what its answers mean."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

import structlog

from core import Finding, Receipt, Statement, backoff
from plugins.xapi.connection import Answer, Connection

if TYPE_CHECKING:
    from plugins.xapi.settings import RecordStore

#: One of the statements is the reason; which one is found by halves.
_SPLIT = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.CONFLICT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
)

_BUSY = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)

#: Characters of a store's words that are kept, and of an answer that makes no sense.
_WORDS = 500
_HEAD = 80

#: Seconds for a question that a person waits for.
_ABOUT = 10.0

#: Statements refused one by one, and none taken, after which a store is taken to refuse all.
_REFUSES_ALL = 3

_log = structlog.get_logger()


class Client:
    """Connections to a store, kept open, one a thread."""

    def __init__(self, store: RecordStore, time_limit: float) -> None:
        self._store = store
        self._time_limit = time_limit
        self._local = threading.local()

    def deliver(self, statements: Sequence[Statement]) -> list[Receipt]:
        """Post statements in one array; a refused array is halved until the statement that spoils it stands alone.

        A store that has refused a few and taken none gets no more of them: it would refuse them all.
        """
        return self._deliver(statements, [])

    def versions(self) -> list[str]:
        """Return the versions of xAPI that the store says it speaks, asked for `about` beside its statements.

        Raises:
            requests.RequestException
            ValueError: it does not say.
        """
        where = self._store.url.rstrip("/").rpartition("/")[0] + "/about"
        answer = self._connection().ask("GET", url=where, limit=min(self._time_limit, _ABOUT))
        said = answer.json() if answer.status_code == HTTPStatus.OK else None
        versions = said.get("version") if isinstance(said, Mapping) else None
        if not isinstance(versions, list) or not all(isinstance(one, str) for one in versions):
            raise ValueError(f"{where} answers {answer.status_code}, and no versions")
        return versions

    def _deliver(self, statements: Sequence[Statement], before: list[Receipt]) -> list[Receipt]:
        """Post what comes after those that have the receipts `before`."""
        import requests

        try:
            response = self._connection().post(json.dumps(statements, separators=(",", ":"), default=dict))
        except (requests.RequestException, ValueError) as error:
            return _each(statements, _unreachable(error, self._store, self._time_limit))
        if response.status_code in _SPLIT and len(statements) > 1:
            return self._halves(statements, before)
        taken = _taken(response, statements)
        if taken and len(taken) < len(statements):
            # It had the others: a store names only those that are new to it (Ralph does), and says so when asked again.
            rest = iter(self._deliver([one for one in statements if _id(one) not in taken], before))
            delivered = Receipt(statement_id="", outcome="delivered")
            return [_each([one], delivered)[0] if _id(one) in taken else next(rest) for one in statements]
        return _each(statements, self._judge(response, statements))

    def _halves(self, statements: Sequence[Statement], before: list[Receipt]) -> list[Receipt]:
        half = len(statements) // 2
        receipts = self._deliver(statements[:half], before)
        last = receipts[-1]
        if last.outcome in ("retry", "blocked"):
            return receipts + _each(statements[half:], last)
        so_far = before + receipts
        if len(so_far) >= _REFUSES_ALL and all(one.outcome == "rejected" for one in so_far):
            return receipts + _each(statements[half:], _blocked(f"{self._store.url} refuses all: {last.words}"))
        return receipts + self._deliver(statements[half:], so_far)

    def _judge(self, response: Answer, statements: Sequence[Statement]) -> Receipt:
        status, url = response.status_code, self._store.url
        if status == HTTPStatus.NO_CONTENT or (status == HTTPStatus.OK and _taken(response, statements)):
            return Receipt(statement_id="", outcome="delivered")
        if status == HTTPStatus.OK:
            return _blocked(f"{url} answers {_said(response)}: is it a store's statements resource?")
        if status == HTTPStatus.CONFLICT:
            return self._judge_conflict(response, str(statements[0].get("id", "")))
        if status in _SPLIT:
            return Receipt(statement_id="", outcome="rejected", words=f"{status}: {_words(response)}")
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            words = f"{url} refuses our login ({status}): check login and password of store {self._store.name}"
            # A firewall answers 403, too, to what it finds in a statement.
            return _blocked(words, store_wide=status == HTTPStatus.UNAUTHORIZED)
        if status in _BUSY or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return Receipt(
                statement_id="",
                outcome="retry",
                words=f"{url} answers {status}, it is tried again",
                retry_after=backoff.retry_after(response.headers.get("Retry-After"), response.headers.get("Date")),
                store_wide=status in _BUSY or "Retry-After" in response.headers,
            )
        location = f" and points to {response.headers['Location']}" if "Location" in response.headers else ""
        return _blocked(f"{url} answers {status}{location}: is it a store's statements resource (.../xAPI/statements)?")

    def _judge_conflict(self, response: Answer, statement_id: str) -> Receipt:
        """Believe a conflict only where the store has a statement of this id, or does not let us look."""
        import requests

        try:
            has = self._has(statement_id)
        except requests.RequestException as error:
            return _unreachable(error, self._store, self._time_limit)
        if has is False:
            return _blocked(f"{self._store.url} answers 409 and has no such statement: {_words(response)}")
        _log.warning("the store has this id with other content", store=self._store.name, id=statement_id)
        return Receipt(statement_id="", outcome="delivered", words=_words(response))

    def _has(self, statement_id: str) -> bool | None:
        """Tell whether the store has a statement, a voided one too; None where it does not say."""
        for name in ("statementId", "voidedStatementId"):
            answer = self._connection().ask("GET", params={name: statement_id})
            if answer.status_code != HTTPStatus.NOT_FOUND:
                return True if answer.status_code == HTTPStatus.OK else None
        return False

    def _connection(self) -> Connection:
        if not hasattr(self._local, "connection"):
            self._local.connection = Connection(self._store, self._time_limit)
        return cast("Connection", self._local.connection)


def _each(statements: Sequence[Statement], receipt: Receipt) -> list[Receipt]:
    return [receipt.model_copy(update={"statement_id": str(one.get("id", ""))}) for one in statements]


def _blocked(words: str, *, store_wide: bool = False) -> Receipt:
    return Receipt(statement_id="", outcome="blocked", words=words, store_wide=store_wide)


def _unreachable(error: Exception, store: RecordStore, time_limit: float) -> Receipt:
    """Tell a fault that passes from one of the settings; the library's own words would differ each time."""
    import requests

    if isinstance(error, requests.exceptions.SSLError):
        words = f"{store.url}: {_root(error)}: check its certificate, or set `ca_file` of store {store.name}"
        return _blocked(words, store_wide=True)
    if isinstance(error, requests.Timeout):
        words = f"{store.url} does not answer within {time_limit:.0f} s, it is tried again"
    elif isinstance(error, requests.ConnectionError):
        words = f"{store.url} can't be reached ({_root(error)}), it is tried again"
    elif isinstance(error, requests.RequestException) and not isinstance(error, ValueError):
        words = f"{store.url}: {type(error).__name__}, it is tried again"
    else:
        return _blocked(f"{store.url} is not an address: {error}", store_wide=True)
    # A store may fall silent, or break off, over one statement; it can't refuse a connection for what it hasn't seen.
    unseen = isinstance(error, requests.ConnectTimeout) or isinstance(_cause(error), ConnectionRefusedError)
    return Receipt(statement_id="", outcome="retry", words=words, store_wide=unseen)


def _root(error: BaseException) -> str:
    """Return the message of the operating system or of the TLS library, unwrapped from requests' and urllib3's."""
    cause = _cause(error)
    words = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
    return re.sub(r"^\[.*?\] ", "", words.rpartition(": ")[2]) or type(cause).__name__


def _cause(error: BaseException) -> BaseException:
    while True:
        below = getattr(error, "reason", None) or (error.args[0] if error.args else None)
        if not isinstance(below, BaseException):
            return error
        error = below


def _taken(response: Answer, statements: Sequence[Statement]) -> frozenset[str]:
    """Return the ids that a store says it has taken; none unless its answer is a list of ids of ours, each once."""
    if response.status_code != HTTPStatus.OK:
        return frozenset()
    try:
        said = response.json()
    except ValueError:
        return frozenset()
    if not isinstance(said, list) or not all(isinstance(one, str) for one in said):
        return frozenset()
    ids = frozenset(one.lower() for one in said)
    return ids if len(ids) == len(said) and ids <= set(map(_id, statements)) else frozenset()


def _id(statement: Statement) -> str:
    return str(statement.get("id", "")).lower()


def _said(response: Answer) -> str:
    """Return what a store answered instead of the ids."""
    media_type = response.headers.get("Content-Type", "something").partition(";")[0]
    words = " ".join(response.text[:_WORDS].split())[:_HEAD]
    return f"{words!r}, not the ids of the statements" if "json" in media_type else f"{media_type}, not JSON"


def _words(response: Answer) -> str:
    """Return why a store refused, field by field where it says so (Ralph and other FastAPI services do)."""
    try:
        detail = cast("Any", response.json())
    except ValueError:
        return " ".join(response.text.split())[:_WORDS] or response.reason
    detail = detail.get("detail", detail) if isinstance(detail, Mapping) else detail
    if isinstance(detail, list) and all(isinstance(one, Mapping) and "loc" in one for one in detail):
        detail = "; ".join(f"{'.'.join(str(part) for part in one['loc'])}: {one.get('msg')}" for one in detail)
    return (detail if isinstance(detail, str) else json.dumps(detail))[:_WORDS]


def examine(store: RecordStore, client: Client) -> Finding:
    """Ask a store which versions of xAPI it speaks: a version is one with its patches."""
    import requests

    subject = f"record store {store.name}"
    try:
        versions = client.versions()
    except requests.RequestException as error:
        return Finding(subject, ok=False, words=_unreachable(error, store, _ABOUT).words)
    except ValueError as error:  # some have no such resource, and take statements all the same
        return Finding(subject, ok=None, words=f"does not say which versions of xAPI it speaks: {error}")
    if any(one.split(".")[:2] == store.version.split(".")[:2] for one in versions):
        return Finding(subject, ok=True, words=f"speaks xAPI {', '.join(versions)}; it is sent {store.version}")
    words = f"speaks xAPI {', '.join(versions)}, not {store.version}: set `version` of store {store.name}"
    return Finding(subject, ok=False, words=words)
