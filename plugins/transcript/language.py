"""Which language is spoken: whisper's codes, and a vote of several windows when nobody says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

from core.errors import BadCall

#: Languages beside the chosen one that are told.
_ALTERNATIVES = 3


@dataclass(frozen=True)
class LanguageVerdict:
    """The language, how likely it is, and what else it could be."""

    language: str
    probability: float | None = None
    alternatives: Mapping[str, float] | None = None


def known(tag: str) -> str:
    """Return whisper's code for a BCP 47 tag, its region left out.

    :raises BadCall: whisper knows no such language.
    """
    codes, names = _languages()
    code = tag.strip().lower().replace("_", "-").split("-")[0]
    code = names.get(code, code)
    if code not in codes:
        raise BadCall(
            f"{tag!r} is no language that whisper knows",
            remedy="give its ISO 639-1 code (fr, en, de, ...) or auto",
            step="transcribe",
        )
    return code


@cache
def _languages() -> tuple[Collection[str], Mapping[str, str]]:
    """Return whisper's codes, and its codes by name, from the one module that has them: its package imports torch."""
    package = find_spec("whisper")
    assert package
    assert package.submodule_search_locations
    path = Path(package.submodule_search_locations[0]) / "tokenizer.py"
    spec = spec_from_file_location("plugins.transcript.whisper_tokenizer", path)
    assert spec
    assert spec.loader
    tokenizer = module_from_spec(spec)
    spec.loader.exec_module(tokenizer)
    return tokenizer.LANGUAGES, tokenizer.TO_LANGUAGE_CODE


def elect(votes: Sequence[Mapping[str, float]]) -> LanguageVerdict:
    """Let each window vote for its likeliest language; a tie goes to the higher mean probability."""
    mean = {code: sum(vote[code] for vote in votes) / len(votes) for code in votes[0]}
    ballots = Counter(max(vote, key=lambda code: vote[code]) for vote in votes)
    language = max(ballots, key=lambda code: (ballots[code], mean[code]))
    others = sorted((code for code in mean if code != language), key=lambda code: -mean[code])[:_ALTERNATIVES]
    return LanguageVerdict(language, round(mean[language], 4), {code: round(mean[code], 4) for code in others})


def spread_evenly(count: int, wanted: int) -> list[int]:
    """Choose `wanted` of `count` windows, from all over the lecture."""
    wanted = min(count, wanted)
    return [round((at + 0.5) * count / wanted - 0.5) for at in range(wanted)]
