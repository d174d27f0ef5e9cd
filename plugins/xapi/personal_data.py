"""Finds in any text what names people: the names that a statement gives, mailboxes, numbers, IP addresses.

A name is looked for by its words, whatever stands between them, their case and their accents, and in either order, so
that `Ada Lévêque` is found in `LEVEQUE, Ada` and in `cours-ada-leveque.mp4`. The text and the names come from anybody,
so everything here takes time in proportion to their length: no pattern can go back over what it has read, and all names
are looked for in one pass.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache
from itertools import pairwise
from urllib.parse import quote, unquote

_SCHEME = "mailto:"

#: Stands for what was taken out; a word, so that an address with it is still one.
REDACTED = "redacted"

#: A name of one or two letters would be found in every other word.
_SHORTEST = 3

#: Words of a name that are looked for; of a longer one the first. And of one that is looked for in other orders.
_MOST_WORDS = 12
_MOST_TURNED = 5

#: Letters of two words of a name that are found as one: jeandupont.
_SHORTEST_JOINED = 8

#: Characters that may stand between two words of a name.
_GAP = 3

#: What no name has; the words of an address stand in one order only.
_ADDRESS = re.compile(r"[@/:]")

_WORD = re.compile(r"[^\W_]+")

#: What may be a mailbox; whether it is one is looked at afterwards.
_CHUNK = re.compile(rf"(?:{_SCHEME})?[^\s\"'<>(),;:/\[\]\\]+", re.IGNORECASE)
_AT = re.compile(r"@|%40")
_NO_DOMAIN = re.compile(r"[@?&#]")

_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)")
#: A run of what an IPv6 address is made of; whether it is one is looked at afterwards.
_IPV6 = re.compile(r"(?<![\w:.])[0-9a-fA-F:][0-9a-fA-F:.]*")
#: The longest IPv6 address, with an IPv4 one in it.
_LONGEST_ADDRESS = 45

#: What an address may have unquoted, and what a text around it may.
_OF_ADDRESSES = "%/:?#[]@!$&'()*+,;=~ \""

#: Phone numbers as they are written to be dialled from abroad, and in France; France's number of a student (INE), old
#: and new; whatever a text calls a student's number.
_NUMBERS = re.compile(
    r"(?<![\w.+])(?:\+|00)[1-9]\d{0,2}(?:[ .()-]{0,2}\d){7,12}(?!\w)"
    r"|(?<![\w.\[-])0[1-9](?:(?: \d\d){4}|(?:\.\d\d){4}|(?:-\d\d){4}|\d{8})(?![\w.]\d|\w)"
    r"|(?<!\w)(?:\d{10}[A-Z]|\d{9}[A-Z]{2})(?!\w)"
    r"|(?i:(?<=\bmatricule )|(?<=étudiant )|(?<=étudiant n°)|(?<=étudiant n° )|(?<=student )|(?<=student no )"
    r"|(?<=student number )|(?<=student id ))[A-Z]{0,3}\d{5,12}(?!\w)"
)

#: What a key of an extension, or the last word of its IRI, says of its value: that it names a person.
# fmt: off
_PERSONAL = frozenset((
    "actor", "address", "author", "birthdate", "contact", "courriel", "displayname", "email", "emailaddress",
    "eppn", "etudiant", "familyname", "firstname", "fullname", "givenname", "identifiant", "ine",
    "instructor", "lastname", "learner", "learnerid", "login", "loginname", "mail", "mailbox", "matricule",
    "mbox", "mobile", "nickname", "nom", "nometudiant", "nomcomplet", "numeroetudiant", "owner", "person",
    "personname", "phone", "phonenumber", "prenom", "pseudo", "realname", "speaker", "student", "studentid",
    "studentname", "studentnumber", "supannetuid", "surname", "teacher", "telephone", "uid", "user",
    "useremail", "userid", "userlogin", "username", "utilisateur",
))
# fmt: on


class Names:
    """What names the people of one statement."""

    def __init__(self, said: Iterable[str]) -> None:
        """Take whatever the agents of a statement say of themselves."""
        self._names: set[tuple[str, ...]] = set()
        #: How many words the names have that begin with a word, the most first.
        self._lengths: dict[str, list[int]] = {}
        for one in said:
            for part in _parts(one):
                for words in _orders(_words(part), is_name=not _ADDRESS.search(part)):
                    self._add(words)

    def redact(self, text: str, *, but: AbstractSet[str] = frozenset()) -> str:
        """Return the text without people; a name that is one of the words `but`, in lower case, stays."""
        if self._lengths:
            if "%" in text:
                text = self._without_quoted_names(text, but)
            text = self._without_names(text, but)
        if "@" in text or "%40" in text:
            text = _CHUNK.sub(_redact_mailbox, text)
        if len(text) < len("::1"):
            return text
        if text.count(".") > 2:
            text = _IPV4.sub(_redact_address, text)
        if text.count(":") > 1:
            text = _IPV6.sub(_redact_address, text)
        return _NUMBERS.sub(REDACTED, text)

    def _add(self, name: Sequence[str]) -> None:
        words = tuple(name[:_MOST_WORDS])
        if sum(map(len, words)) < _SHORTEST or words in self._names:
            return
        self._names.add(words)
        lengths = self._lengths.setdefault(words[0], [])
        if len(words) not in lengths:
            lengths.append(len(words))
            lengths.sort(reverse=True)

    def _without_names(self, text: str, but: AbstractSet[str]) -> str:
        if self._lengths.keys().isdisjoint(_words(text)):
            return text
        text = unicodedata.normalize("NFC", text)
        found = list(_WORD.finditer(text))
        words = [_folded(one[0]) for one in found]
        spans = [one.span() for one in found]
        kept, end, covered = [], 0, 0
        for number, word in enumerate(words):
            for length in self._lengths.get(word, ()):
                if self._is_name(words, spans, number, length, but):
                    if number >= covered:
                        kept += [text[end : spans[number][0]], REDACTED]
                    covered = max(covered, number + length)
                    end = spans[covered - 1][1]
                    break
        return "".join([*kept, text[end:]])

    def _without_quoted_names(self, text: str, but: AbstractSet[str]) -> str:
        """Take names out of an address that quotes what is no plain letter."""
        plain = unquote(text)
        left = self._without_names(plain, but)
        return text if left == plain else quote(left, safe=_OF_ADDRESSES)

    def _is_name(
        self, words: list[str], spans: list[tuple[int, int]], first: int, length: int, but: AbstractSet[str]
    ) -> bool:
        some = tuple(words[first : first + length])
        if len(some) < length or some not in self._names or (length == 1 and some[0] in but):
            return False
        return all(begin - end <= _GAP for (_, end), (begin, _) in pairwise(spans[first : first + length]))


@lru_cache(maxsize=4096)
def is_personal(key: str) -> bool:
    """Tell whether the value of this key, or of an extension with this IRI, names a person."""
    last = re.split(r"[/#:]", key[-200:].rstrip("/#"))[-1]
    return "".join(_words(last)) in _PERSONAL


def words(text: str) -> set[str]:
    """Return the words of a text in lower case and without accents, as they are told apart here."""
    return set(_words(text))


def _words(text: str) -> list[str]:
    if text.isascii():
        return _WORD.findall(text.lower())
    return [_folded(one) for one in _WORD.findall(unicodedata.normalize("NFC", text))]


def _folded(word: str) -> str:
    """Return a word without case and accents."""
    if word.isascii():
        return word.lower()
    return "".join(one for one in unicodedata.normalize("NFKD", word) if not unicodedata.combining(one)).casefold()


def _parts(said: str) -> Iterator[str]:
    """Yield how one thing that names somebody may stand in a text: whole, or its telling part."""
    whole = said.strip()
    bare = whole[len(_SCHEME) :] if whole.lower().startswith(_SCHEME) else whole
    local = bare.partition("@")[0]
    yield from {bare, local, local.partition("+")[0], bare.rstrip("/").rpartition("/")[2]}


def _orders(name: list[str], *, is_name: bool) -> Iterator[Sequence[str]]:
    """Yield the words of a name as they come, the last ones first, first and last alone, and two as one."""
    yield name
    if not 1 < len(name) <= _MOST_TURNED or not is_name:
        return
    for number in range(1, len(name)):
        yield name[number:] + name[:number]
    for pair in ([name[0], name[-1]], [name[-1], name[0]]):
        if min(map(len, pair)) > 1:
            yield pair
        if len("".join(pair)) >= _SHORTEST_JOINED:
            yield ["".join(pair)]


def _redact_mailbox(found: re.Match[str]) -> str:
    """Take out everything up to the last @ that a domain follows, and that domain."""
    chunk = found[0]
    for at in reversed(list(_AT.finditer(chunk))):
        end = _NO_DOMAIN.search(chunk, at.end())
        last = end.start() if end else len(chunk)
        if at.start() > 0 and last > at.end():
            return REDACTED + chunk[last:]
    return chunk


def _redact_address(found: re.Match[str]) -> str:
    """Take out an IP address; what only looks like one (a time, 00:01:02) stays."""
    said = found[0]
    if len(said) > _LONGEST_ADDRESS + 2:
        return said
    try:
        ipaddress.ip_address(said.rstrip(":.") if not said.endswith("::") else said)
    except ValueError:
        return said
    return REDACTED
