"""People replaced by pseudonyms, and what else could name them taken out.

A pseudonym is an HMAC of what identifies the actor: the same for one person each time, and nobody finds the person
without the key. An address and its SHA-1 are one person.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote, urlsplit

from core import Statement

#: Whoever has one of these is an agent or a group, wherever in a statement it stands.
_IDENTIFIERS = ("mbox", "mbox_sha1sum", "openid", "account")

#: Fields that hold an agent or a group even when nothing identifies it.
_ROLES = ("actor", "authority", "instructor", "team")

#: Formats that a store checks and that no person writes; a name must not tear them ("2026" is one, too).
_KEPT = ("id", "timestamp", "stored", "registration", "objectType", "version", "duration")

#: Stands for what was taken out; a word, so that an address with it is still one.
REDACTED = "redacted"

#: A name of one or two letters would be found in every other word.
_SHORTEST = 3

_MAILBOX = re.compile(r"(?:mailto:)?[^\s\"'<>(),;:/\[\]\\]+(?:@|%40)[^\s\"'<>(),;:/@\[\]\\?&#]+", re.IGNORECASE)
_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])[0-9a-fA-F:]*:[0-9a-fA-F:]*:[0-9a-fA-F:.]*")


@dataclass(frozen=True)
class Scheme:
    """How people are renamed."""

    key: bytes
    form: Literal["account", "mailbox"]
    #: Home page of the pseudonyms' accounts; its host is that of their mailboxes.
    home: str

    def pseudonym(self, agent: Mapping[str, Any]) -> str:
        return hmac.new(self.key, _identity(agent).encode(), hashlib.sha256).hexdigest()[:32]

    def rename(self, agent: Mapping[str, Any]) -> dict[str, Any]:
        """Return the agent or group under its pseudonym, with nothing else that it was given but its kind."""
        kind = {"objectType": agent["objectType"]} if agent.get("objectType") in ("Agent", "Group") else {}
        members = [self.rename(one) for one in agent.get("member") or () if isinstance(one, Mapping)]
        group = {"member": members} if members else {}
        if group and not any(field in agent for field in _IDENTIFIERS):
            return kind | group
        name = self.pseudonym(agent)
        if self.form == "mailbox":
            return kind | {"name": name, "mbox": f"mailto:{name}@{urlsplit(self.home).hostname}"} | group
        return kind | {"account": {"homePage": self.home, "name": name}} | group


def anonymised(statement: Statement, scheme: Scheme) -> dict[str, Any]:
    """Return the statement with everyone in it renamed, and names, mailboxes and IP addresses gone from the rest."""
    names = _Names(_said_of(statement))
    changed: dict[str, Any] = _Pass(scheme, names).over(statement)
    return changed


def _identity(agent: Mapping[str, Any]) -> str:
    if isinstance(mailbox := agent.get("mbox"), str):
        return f"mailbox {hashlib.sha1(mailbox.encode()).hexdigest()}"  # noqa: S324  # as xAPI defines mbox_sha1sum
    if isinstance(digest := agent.get("mbox_sha1sum"), str):
        return f"mailbox {digest.lower()}"
    known = {field: agent[field] for field in ("openid", "account") if field in agent}
    return json.dumps(known or {"name": agent.get("name")}, sort_keys=True, default=str)


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


def _is_agent(value: object) -> bool:
    return isinstance(value, Mapping) and (
        any(field in value for field in _IDENTIFIERS) or value.get("objectType") in ("Agent", "Group")
    )


def _said_of(value: object, *, agent: bool = False) -> Iterator[str]:
    """Yield all that names someone: what their agents say, but for where they have their account."""
    if isinstance(value, Mapping):
        for field, below in value.items():
            personal = field not in ("objectType", "homePage")
            yield from _said_of(below, agent=personal and (agent or _is_agent(value) or field in _ROLES))
    elif _is_list(value):
        for below in value:  # type: ignore[attr-defined]
            yield from _said_of(below, agent=agent)
    elif agent and isinstance(value, str):
        yield value


class _Names:
    """Finds in any text what names the people of one statement."""

    def __init__(self, said: Iterator[str]) -> None:
        words: set[str] = set()
        for one in said:
            bare = re.sub("^mailto:", "", one.strip(), flags=re.IGNORECASE)
            words.update({one.strip(), bare, bare.partition("@")[0], bare.rstrip("/").rpartition("/")[2]})
        words.update({quote(word) for word in words} | {quote(word, safe="") for word in words})
        long_enough = sorted((word for word in words if len(word) >= _SHORTEST), key=len, reverse=True)
        pattern = "|".join(map(re.escape, long_enough))
        self._pattern = re.compile(rf"(?<!\w)(?:{pattern})(?!\w)", re.IGNORECASE) if pattern else None

    def redact(self, text: str) -> str:
        if self._pattern:
            text = self._pattern.sub(REDACTED, text)
        text = _MAILBOX.sub(REDACTED, text)
        text = _IPV4.sub(_redact_address, text)
        return _IPV6.sub(_redact_address, text) if text.count(":") > 1 else text


def _redact_address(found: re.Match[str]) -> str:
    """Take out an IP address; what only looks like one (a time, 00:01:02) stays."""
    try:
        ipaddress.ip_address(found[0].rstrip(":.") if not found[0].endswith("::") else found[0])
    except ValueError:
        return found[0]
    return REDACTED


class _Pass:
    """One pass over a statement."""

    def __init__(self, scheme: Scheme, names: _Names) -> None:
        self._scheme = scheme
        self._names = names

    def over(self, value: Any, field: str = "") -> Any:
        if _is_agent(value) or (field in _ROLES and isinstance(value, Mapping)):
            return self._scheme.rename(value)
        if isinstance(value, Mapping):
            return {
                self._names.redact(key): below if key in _KEPT and self._is_kept(below) else self.over(below, key)
                for key, below in value.items()
            }
        if _is_list(value):
            return [self.over(below, field) for below in value]
        return self._names.redact(value) if isinstance(value, str) else value

    @staticmethod
    def _is_kept(value: object) -> bool:
        """Tell a UUID, a time or a kind from an address, which may name someone."""
        return isinstance(value, str) and not re.search(r"[/@\s]", value)
