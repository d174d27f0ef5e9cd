"""Finds in any text what names people: the names that a statement gives, mailboxes, IP addresses.

The text and the names come from anybody, so everything here takes time in proportion to their length: no pattern can
go back over what it has read, and all names are looked for in one pass (Aho and Corasick), however many there are.
"""

from __future__ import annotations

import ipaddress
import re
from collections import deque
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from urllib.parse import quote

_SCHEME = "mailto:"

#: Stands for what was taken out; a word, so that an address with it is still one.
REDACTED = "redacted"

#: A name of one or two letters would be found in every other word.
_SHORTEST = 3

#: A word, or any other character; what a name is made of. Case doesn't count.
_TOKEN = re.compile(r"\w+|\W")

#: What may be a mailbox; whether it is one is looked at afterwards.
_CHUNK = re.compile(rf"(?:{_SCHEME})?[^\s\"'<>(),;:/\[\]\\]+", re.IGNORECASE)
_AT = re.compile(r"@|%40")
_NO_DOMAIN = re.compile(r"[@?&#]")

_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)")
#: A run of what an IPv6 address is made of; whether it is one is looked at afterwards.
_IPV6 = re.compile(r"(?<![\w:.])[0-9a-fA-F:][0-9a-fA-F:.]*")
#: The longest IPv6 address, with an IPv4 one in it.
_LONGEST_ADDRESS = 45


#: Characters of the longest name that is looked for in its quoted forms as well.
_LONGEST_QUOTED = 1000


@dataclass(slots=True)
class _Node:
    """Where a search stands after some tokens of a name."""

    next: dict[str, _Node] = field(default_factory=dict)
    #: Where it stands instead when the next token doesn't fit: the longest end of the same tokens that begins a name.
    fallback: _Node | None = None
    #: Tokens of the longest name that ends here; 0: none does.
    length: int = 0


class Names:
    """What names the people of one statement."""

    def __init__(self, said: Iterable[str]) -> None:
        """Take whatever the agents of a statement say of themselves."""
        self._root = _Node()
        for name in {variant for one in said for variant in _variants(one)}:
            self._add([token.lower() for token in _trimmed(_TOKEN.findall(name))])
        self._link()

    def redact(self, text: str, *, but: AbstractSet[str] = frozenset()) -> str:
        """Return the text without people; a name that is one of the words `but`, in lower case, stays."""
        text = self._without_names(text, but)
        text = _CHUNK.sub(_redact_mailbox, text)
        text = _IPV4.sub(_redact_address, text)
        return _IPV6.sub(_redact_address, text) if text.count(":") > 1 else text

    def _add(self, tokens: list[str]) -> None:
        if sum(map(len, tokens)) < _SHORTEST:
            return
        node = self._root
        for token in tokens:
            node = node.next.setdefault(token, _Node())
        node.length = len(tokens)

    def _link(self) -> None:
        waiting = deque([self._root])
        while waiting:
            node = waiting.popleft()
            for token, below in node.next.items():
                above = node.fallback
                while above and token not in above.next:
                    above = above.fallback
                below.fallback = above.next[token] if above else self._root
                below.length = below.length or below.fallback.length
                waiting.append(below)

    def _without_names(self, text: str, but: AbstractSet[str]) -> str:
        if not self._root.next:
            return text
        tokens = _TOKEN.findall(text)
        kept: list[str] = []
        end = 0
        for first, last in _merged(self._found(tokens, but)):
            kept += [*tokens[end:first], REDACTED]
            end = last
        return "".join([*kept, *tokens[end:]]) if end else text

    def _found(self, tokens: list[str], but: AbstractSet[str]) -> Iterator[tuple[int, int]]:
        """Yield for each token that ends a name where the longest such name begins, and where it ends."""
        node = self._root
        for number, token in enumerate(map(str.lower, tokens), 1):
            while token not in node.next and node.fallback:
                node = node.fallback
            node = node.next.get(token, self._root)
            if node.length > 1 or (node.length and token not in but):
                yield number - node.length, number


def words(text: str) -> set[str]:
    """Return the words of a text in lower case, as they are told apart here."""
    return {token.lower() for token in _TOKEN.findall(text) if _is_word(token)}


def _variants(said: str) -> Iterator[str]:
    """Yield how one thing that names somebody may stand in a text: whole, or its telling part, plain or in a URL."""
    whole = said.strip()
    bare = whole[len(_SCHEME) :] if whole.lower().startswith(_SCHEME) else whole
    for one in {whole, bare, bare.partition("@")[0], bare.rstrip("/").rpartition("/")[2]}:
        yield one
        if len(one) <= _LONGEST_QUOTED:
            yield from (quote(one), quote(one, safe=""))


def _trimmed(tokens: list[str]) -> list[str]:
    """Leave out what stands around the first and the last word."""
    ends = [number for number, token in enumerate(tokens) if _is_word(token)]
    return tokens[ends[0] : ends[-1] + 1] if ends else []


def _is_word(token: str) -> bool:
    return token.isalnum() or "_" in token


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join what overlaps; the spans come in the order of their ends."""
    joined: list[tuple[int, int]] = []
    for begin, last in spans:
        first = begin
        while joined and begin < joined[-1][1]:
            first = min(first, joined.pop()[0])
        joined.append((first, last))
    return joined


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
