"""docs/transcription.md knows every option, with its default."""

from __future__ import annotations

import re

from plugins.transcript.options import CaptionOptions, TranscribeOptions

from .conftest import ROOT

#: Defaults that a table says in words.
IN_WORDS = {"model", "models", "backend", "glossary", "corrections", "fallback_temperatures", "formats"}


def rows() -> dict[str, str]:
    text = (ROOT / "docs/transcription.md").read_text(encoding="utf-8")
    section = text.partition("## What a job can ask")[2].partition("\n## ")[0]
    return dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", section, re.MULTILINE))


def test_each_option_is_documented_in_the_order_of_the_code() -> None:
    own = [name for name in TranscribeOptions.model_fields if name not in CaptionOptions.model_fields]
    assert list(rows()) == [*own, *CaptionOptions.model_fields]


def test_with_its_default() -> None:
    said = {name: words.strip("`") for name, words in rows().items() if name not in IN_WORDS}
    is_so = {name: TranscribeOptions.model_fields[name].default for name in said}
    assert {name: _number(words) for name, words in said.items()} == is_so


def _number(words: str) -> object:
    return {"true": True, "false": False}[words] if words in ("true", "false") else float(words)
