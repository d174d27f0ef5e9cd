"""The templates, with the words, numbers and times of one language."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context

from core.job_index import RowState
from core.web.pages import languages, words
from core.web.pages.languages import Sentences, Writer

#: Our own files for the browser, and below which path they are served.
STATIC = Path(__file__).parent / "static"
STATIC_PATH = "/static/pages"


@cache
def environment(language: str) -> Environment:
    made = Environment(
        loader=PackageLoader("core.web.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    translations = languages.translations(language)
    made.install_gettext_translations(translations, newstyle=True)  # type: ignore[attr-defined]  # the extension's
    writer, sentences = Writer(language), Sentences(language)
    tables = words.tables(translations.gettext)
    made.filters.update(
        ago=writer.ago,
        clock=languages.clock,
        exact=writer.exact,
        long=writer.long,
        number=writer.number,
        percent=writer.percent,
        plain=lambda value: f"{value:g}",
        said=sentences.translate,
        size=writer.size,
        speed=writer.speed,
        step=lambda name: tables["step_words"].get(name, name),  # a plugin's goes by its name
    )
    made.globals.update(
        languages=languages.LANGUAGES,
        static=_static,
        final_states=tuple(state for state in RowState if state.is_final),
        **tables,
    )
    return made


def render(name: str, language: str, context: Mapping[str, Any]) -> str:
    return environment(language).get_template(name).render(context)


@pass_context
def _static(context: Context, name: str) -> str:
    return f"{context['base']}{STATIC_PATH}/{name}?{_digest(name)}"


@cache
def _digest(name: str) -> str:
    """Return what changes with a file, so that browsers may keep it for good."""
    return hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:8]
