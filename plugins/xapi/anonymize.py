"""People replaced by pseudonyms, and what else could name them taken out.

A pseudonym is an HMAC of what identifies the actor: the same for one person each time, and nobody finds the person
without the key. An address and its SHA-1 are one person.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeGuard
from urllib.parse import unquote, urlsplit

from core import Statement
from plugins.xapi.personal_data import REDACTED, Names, is_personal, words

#: Whoever has one of these is an agent or a group, wherever in a statement it stands.
_IDENTIFIERS = frozenset(("mbox", "mbox_sha1sum", "openid", "account"))

#: Of these fields of an agent nobody is known.
_OF_NOBODY = ("objectType", "homePage")

#: Fields that hold an agent or a group even when nothing identifies it.
_ROLES = ("actor", "authority", "instructor", "team")

#: Fields of xAPI whose values come from a vocabulary or have a fixed form, by the field that they stand below. No
#: person writes them, and a store checks them: somebody called Played must not tear the verb.
_FIXED = {
    "": ("id", "timestamp", "stored", "version", "objectType"),
    "verb": ("id",),
    "object": ("objectType", "timestamp"),
    "definition": ("type", "interactionType"),
    "category": ("id", "objectType"),
    "parent": ("objectType",),
    "grouping": ("objectType",),
    "other": ("objectType",),
    "context": ("registration", "language"),
    "statement": ("id", "objectType"),
    "result": ("duration",),
    "attachments": ("usageType", "contentType", "sha2"),
}

#: Addresses of things. A person's name is taken out of them, unless it is a word of the vocabulary: with it a login
#: `video` would give every film a new address.
_ADDRESSES = ("id", "moreInfo", "fileUrl", "fileURL")

#: What is a term of a vocabulary, and where: the words of its path are nobody's name.
_VOCABULARY = (("verb", "id"), ("definition", "type"), ("category", "id"), ("attachments", "usageType"))

#: An IRI, or a word; with blanks or a mailbox in it, it is neither.
_IRI = re.compile(r"(?!mailto:)[a-z][a-z0-9+.-]*:[^\s\"<>]+", re.IGNORECASE)
_TERM = re.compile(rf"{_IRI.pattern}|[^\s@\"<>]+", re.IGNORECASE)
_SCHEME_AND_HOST = re.compile(r"[a-z][a-z0-9+.-]*:(?://[^/?#]*)?", re.IGNORECASE)

#: A person's number, of a student say; a smaller one is no telling one.
_LEAST_NUMBER = 10_000

_OF_ADDRESSES = frozenset({"http", "https", "urn", "www"})


@dataclass(frozen=True)
class Scheme:
    """How people are renamed."""

    key: bytes
    form: Literal["account", "mailbox"]
    #: Home page of the pseudonyms' accounts; its host is that of their mailboxes.
    home: str
    #: Tells the pseudonyms of one key from those of another.
    key_id: str = ""

    @property
    def place(self) -> str:
        """Where the pseudonyms are: the home page of their accounts, or the ending of their mailboxes."""
        if self.form == "mailbox":
            return f"{f'.{self.key_id}' if self.key_id else ''}@{urlsplit(self.home).hostname}"
        return f"{self.home.rstrip('/')}/{self.key_id}" if self.key_id else self.home

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
            mailbox = f"{name}{self.place}"
            return kind | {"name": mailbox.partition("@")[0], "mbox": f"mailto:{mailbox}"} | group
        return kind | {"account": {"homePage": self.place, "name": name}} | group


def anonymised(statement: Statement, scheme: Scheme) -> dict[str, Any]:
    """Return the statement with everyone in it renamed, and names, mailboxes and IP addresses gone from the rest.

    The vocabulary stays as it is: IRIs of verbs, types, categories and attachments, keys of extensions and of fields.
    """
    changed: dict[str, Any] = _Pass(scheme, _names(frozenset(_said_of(statement))), statement).over(statement)
    return changed


@lru_cache(maxsize=1024)
def _names(said: frozenset[str]) -> Names:
    """Return what names these people; those who watch say many things one after the other."""
    return Names(said)


def vocabulary_of(statement: Statement) -> frozenset[str]:
    """Return the words of the terms that a statement uses, and of any address, in lower case."""
    return _OF_ADDRESSES.union(*map(_words_of, _terms(statement)))


@lru_cache(maxsize=4096)
def _words_of(term: str) -> frozenset[str]:
    return frozenset(words(unquote(_path(term))))


def _path(term: str) -> str:
    host = _SCHEME_AND_HOST.match(term)
    return term[host.end() :] if host else term


def _terms(value: object, field: str = "") -> Iterator[str]:
    if isinstance(value, str):
        return
    if _is_mapping(value):
        for key, below in value.items():
            if isinstance(below, str):
                if (field, key) in _VOCABULARY:
                    yield below
            elif key == "extensions" and _is_mapping(below):
                yield from below
            elif key not in _ROLES:
                yield from _terms(below, key)
    elif _is_list(value):
        for below in value:
            yield from _terms(below, field)


def _identity(agent: Mapping[str, Any]) -> str:
    if isinstance(mailbox := agent.get("mbox"), str):
        return f"mailbox {hashlib.sha1(mailbox.lower().encode()).hexdigest()}"  # noqa: S324  # nosec  # as xAPI defines mbox_sha1sum
    if isinstance(digest := agent.get("mbox_sha1sum"), str):
        return f"mailbox {digest.lower()}"
    known = {field: _plain(agent[field]) for field in ("openid", "account") if field in agent}
    return json.dumps(known or {"name": agent.get("name")}, sort_keys=True, default=str)


def _plain(value: Any) -> Any:
    """Return an address without what makes no other address of it: its last slash, the case of its host."""
    if isinstance(value, Mapping):
        return {**value, "homePage": _plain(value["homePage"])} if "homePage" in value else value
    if not isinstance(value, str):
        return value
    host = _SCHEME_AND_HOST.match(value)
    return (host[0].lower() + value[host.end() :] if host else value).rstrip("/")


def _is_list(value: Any) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, list | tuple)


def _is_mapping(value: Any) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(value, dict) or (not isinstance(value, str | list) and isinstance(value, Mapping))


def _is_agent(value: Any) -> bool:
    return _is_mapping(value) and (not _IDENTIFIERS.isdisjoint(value) or value.get("objectType") in ("Agent", "Group"))


def _said_of(value: Any, *, agent: bool = False) -> Iterator[str]:
    """Yield all that names someone: what their agents say, but for where they have their account."""
    if isinstance(value, str):
        if agent:
            yield value
    elif _is_mapping(value):
        all_of_it = agent or _is_agent(value)
        for field, below in value.items():
            named = all_of_it or field in _ROLES or is_personal(field)
            if (named or not isinstance(below, str)) and field not in _OF_NOBODY:
                yield from _said_of(below, agent=named)
    elif _is_list(value):
        for below in value:
            yield from _said_of(below, agent=agent)
    elif agent and type(value) is int and value >= _LEAST_NUMBER:
        yield str(value)


class _Pass:
    """One pass over a statement."""

    def __init__(self, scheme: Scheme, names: Names, statement: Statement) -> None:
        self._scheme = scheme
        self._names = names
        self._vocabulary = vocabulary_of(statement)

    def over(self, value: Any, field: str = "") -> Any:
        """Return what stands in a field of xAPI."""
        if isinstance(value, str):
            return self._names.redact(value)
        if _is_mapping(value):
            if _is_person(value, field):
                return self._scheme.rename(value)
            return _with_keys(map(self._term, value), [self._below(field, key, below) for key, below in value.items()])
        return [self.over(below, field) for below in value] if _is_list(value) else value

    def _below(self, field: str, key: str, value: Any) -> Any:
        if isinstance(value, str):
            if key in _FIXED.get(field, ()):
                return self._term(value)
            if is_personal(key):
                return _nothing_of(value)
            return self._beside_vocabulary(value) if key in _ADDRESSES else self._names.redact(value)
        if key == "extensions" and _is_mapping(value):
            return _with_keys(map(self._term, value), [self._free(below, key) for key, below in value.items()])
        if (field, key) == ("verb", "display") and _is_mapping(value):
            return _with_keys(map(self._term, value), map(self._beside_vocabulary, value.values()))
        return _nothing_of(value) if is_personal(key) and not _is_person(value, key) else self.over(value, key)

    def _free(self, value: Any, field: str = "") -> Any:
        """Return what stands in an extension, where nothing but an IRI is known to be no person's."""
        if _is_person(value, field):
            return self._scheme.rename(value)
        if is_personal(field):
            return _nothing_of(value)
        if isinstance(value, str):
            return self._names.redact(value)
        if _is_mapping(value):
            keys = (key if _IRI.fullmatch(key) else self._names.redact(key) for key in value)
            return _with_keys(keys, [self._free(below, key) for key, below in value.items()])
        return [self._free(below, field) for below in value] if _is_list(value) else value

    def _term(self, text: str) -> str:
        return text if _is_term(text) else self._names.redact(text)

    def _beside_vocabulary(self, text: Any) -> Any:
        return self._names.redact(text, but=self._vocabulary) if isinstance(text, str) else self.over(text)


@lru_cache(maxsize=4096)
def _is_term(text: str) -> bool:
    return _TERM.fullmatch(text) is not None


def _nothing_of(value: Any) -> Any:
    """Return what is said under a key that names a person, without it; that there is something may matter."""
    if isinstance(value, Mapping):
        return {key if _IRI.fullmatch(key) else REDACTED: _nothing_of(below) for key, below in value.items()}
    if _is_list(value):
        return [_nothing_of(below) for below in value]
    return value if value is None or isinstance(value, bool) else REDACTED


def _is_person(value: Any, field: str) -> bool:
    return _is_agent(value) or (field in _ROLES and _is_mapping(value))


def _with_keys(keys: Iterable[str], values: Iterable[Any]) -> dict[str, Any]:
    """Return a mapping; keys that came before get a number, because two names may be redacted to one word."""
    changed: dict[str, Any] = {}
    numbers: dict[str, int] = {}
    for key, value in zip(keys, values, strict=True):
        unlike = key
        while unlike in changed:
            numbers[key] = numbers.get(key, 1) + 1
            unlike = f"{key}-{numbers[key]}"
        changed[unlike] = value
    return changed
