"""French and English say the same: the same headings by level, the same commands, the same code."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from mkdocs.utils.yaml import yaml_load

from .conftest import DOCS, ROOT, amphipods, blocks, named, prompted

FRENCH = sorted(DOCS.rglob("*.fr.md"))

#: Sections of the site that are there in both languages; the reference is in English.
BOTH = ("Tutorial", "Guides", "Understanding")


FENCED = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)


def english(page: Path) -> Path:
    return page.with_name(page.name.replace(".fr.md", ".md"))


def prose(text: str) -> str:
    """Return a page without code and addresses."""
    return re.sub(r"^    .*$|`[^`]*`|\]\([^)]*\)|https?:\S+", "", FENCED.sub("", text), flags=re.MULTILINE)


def test_each_page_of_these_sections_is_there_in_french() -> None:
    nav = yaml_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    pages = [nav[0]]
    for entry in nav[1:]:
        for section, below in entry.items():
            if section in BOTH:
                pages += [below] if isinstance(below, str) else [page for one in below for page in one.values()]
    assert [page for page in pages if not (DOCS / page.replace(".md", ".fr.md")).exists()] == []


@pytest.mark.parametrize("page", FRENCH, ids=named)
def test_both_have_the_same_structure_and_the_same_code(page: Path) -> None:
    french, other = page.read_text(encoding="utf-8"), english(page).read_text(encoding="utf-8")
    levels = [re.findall(r"^(#+) ", FENCED.sub("", text), re.MULTILINE) for text in (french, other)]
    assert levels[0] == levels[1], "headings"
    rows = [len(re.findall(r"^\|", text, re.MULTILINE)) for text in (french, other)]
    assert rows[0] == rows[1], "rows of tables"
    assert prompted(french) == prompted(other)
    indented = [re.findall(r"^    .+$", FENCED.sub("", text), re.MULTILINE) for text in (french, other)]
    assert indented[0] == indented[1]
    assert Counter(amphipods(french)) == Counter(amphipods(other))
    named_ones = [[block for block in blocks(text) if block[0]] for text in (french, other)]
    assert named_ones[0] == named_ones[1]


@pytest.mark.parametrize("page", FRENCH, ids=named)
def test_french_punctuation_clings_to_its_word(page: Path) -> None:
    assert re.findall(r".{0,20}(?: [;:?!»%]|« ).{0,20}", prose(page.read_text(encoding="utf-8"))) == []
