"""Which language is spoken: whisper's codes, and what votes of windows are worth when nobody says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from core.errors import BadCall
from plugins.transcript.tokenizer import languages

#: Languages beside the chosen one that are told.
_ALTERNATIVES = 3

#: Probability from which a vote decides for its own window. With OpenAI's base, windows of twolang_en_fr and fr-talk
#: vote with 0.97 and more in one language, phrases of 8 s with 0.92 and more, a window in two languages with 0.59. It
#: holds for the windows of en-lecture (0.97), japanese (0.98) and speech_over_music (0.92), too.
SURE = 0.8

#: Seconds of speech that are enough to tell a language by.
TELLING = 3.0

#: Probability of the whole lecture's language below which a note asks for its name.
DOUBTFUL = 0.5


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
    codes, names = languages()
    code = tag.strip().lower().replace("_", "-").split("-")[0]
    code = names.get(code, code)
    if code not in codes:
        raise BadCall(
            f"{tag!r} is no language that whisper knows",
            remedy="give its ISO 639-1 code (fr, en, de, ...) or auto",
            step="transcribe",
        )
    return code


def surely(vote: Mapping[str, float], among: Collection[str] | None = None) -> str | None:
    """Return the language that a vote is sure of, None if there is none; with `among`, as if there were no others."""
    codes = vote.keys() if among is None else among
    likeliest = max(codes, key=lambda code: vote.get(code, 0.0))
    total = sum(vote.values()) if among is None else sum(vote.get(code, 0.0) for code in codes)
    return likeliest if vote.get(likeliest, 0.0) >= SURE * total > 0 else None


def name_of(code: str) -> str:
    """Return a language's name in English, as sentences have it."""
    return languages()[0][code].title()


def elect(votes: Sequence[Mapping[str, float]], language: str | None = None) -> LanguageVerdict:
    """Let each window vote for its likeliest language; a tie goes to the higher mean probability.

    With `language` that one is elected, and only how likely it and the others are is counted.
    """
    mean = {code: sum(vote[code] for vote in votes) / len(votes) for code in votes[0]}
    ballots = Counter(max(vote, key=lambda code: vote[code]) for vote in votes)
    language = language or max(ballots, key=lambda code: (ballots[code], mean[code]))
    others = sorted((code for code in mean if code != language), key=lambda code: -mean[code])[:_ALTERNATIVES]
    return LanguageVerdict(language, round(mean[language], 4), {code: round(mean[code], 4) for code in others})


def spread_evenly(count: int, wanted: int) -> list[int]:
    """Choose `wanted` of `count` windows, from all over the lecture."""
    wanted = min(count, wanted)
    return [round((at + 0.5) * count / wanted - 0.5) for at in range(wanted)]
