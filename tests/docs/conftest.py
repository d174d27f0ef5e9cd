"""The pages, and what stands in them as code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

#: All pages for people, in both languages.
PAGES = sorted({ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md"), *ROOT.glob("examples/*/README.md")})

#: Whose commands are tried in turn: what is read from top to bottom.
GUIDES = [ROOT / "README.md", DOCS / "tutorial.md", *sorted(set(DOCS.glob("guides/*.md")) - set(DOCS.rglob("*.fr.md")))]


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(text: str) -> list[tuple[str, str]]:
    """Return the fenced blocks, each with its language."""
    found = re.findall(r"^( *)```(\w*)\n(.*?)^\1```", text, re.MULTILINE | re.DOTALL)
    return [
        (language, "".join(line.removeprefix(indent) for line in body.splitlines(keepends=True)))
        for indent, language, body in found
    ]


def prompted(text: str) -> list[str]:
    """Return the commands that a page shows after a prompt, without a comment behind them."""
    shown = "\n".join(body for _, body in blocks(text))
    return [line.partition("  #")[0].rstrip() for line in re.findall(r"^ *\$ (.+)$", shown, re.MULTILINE)]


def amphipods(text: str) -> Iterator[str]:
    """Yield all that looks like a call of ours: after a prompt, in an indented block, or in a sentence."""
    for _, body in blocks(text):
        yield from re.findall(r"^ *(?:\$ )?(?:\w+=\S+ )?\S*\b(amphipod [a-z].*)$", body, re.MULTILINE)
    rest = re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from re.findall(r"^    (?:\$ )?(amphipod [a-z].*)$", rest, re.MULTILINE)
    yield from (re.sub(r"\s+", " ", one) for one in re.findall(r"`(amphipod\s[a-z][^`]*)`", rest))
