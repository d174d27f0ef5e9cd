"""Whisper's tokenizer and its names of languages, from the one module that has them, without importing torch."""

from __future__ import annotations

import warnings
from functools import cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from whisper.tokenizer import Tokenizer


@cache
def _module() -> Any:
    package = find_spec("whisper")
    assert package
    assert package.submodule_search_locations
    path = Path(package.submodule_search_locations[0]) / "tokenizer.py"
    spec = spec_from_file_location("plugins.transcript.whisper_tokenizer", path)
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tokenizer_of(
    *, multilingual: bool, languages: int, language: str | None = None, task: str | None = None
) -> Tokenizer:
    """Return the tokenizer of a model that knows so many languages, for a language and a task."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # whisper leaves its vocabulary open
        found: Tokenizer = _module().get_tokenizer(multilingual, num_languages=languages, language=language, task=task)
    return found


def languages() -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Return whisper's names by code and codes by name."""
    return _module().LANGUAGES, _module().TO_LANGUAGE_CODE
