"""How deep a JSON text is nested, told before it is parsed: what recurses over it later may not find that out first."""

from __future__ import annotations

import re

#: Objects and arrays within each other that any text of ours may have; all parsers and writers that see it take more
#: than twice that, but for pydantic's writer, whose 255 a job's own values must stay below.
DEEPEST = 500

#: A string, even one that does not end, or a bracket. Possessive, so that no text makes the search go back.
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"?+|[\[\]{}]', re.DOTALL)

_STEP = {b"[": 1, b"{": 1, b"]": -1, b"}": -1}


def is_too_deep(text: bytes | str, deepest: int = DEEPEST) -> bool:
    """Tell whether a text, JSON or not, opens more than `deepest` objects and arrays within each other."""
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if data.count(b"[") + data.count(b"{") <= deepest:
        return False
    depth = 0
    for token in _TOKEN.finditer(data):
        depth += _STEP.get(token.group(), 0)
        if depth > deepest:
            return True
    return False
