"""How much of each script a line holds and a second lets read.

The options count Latin letters. A character of Japanese, Chinese or Korean takes two columns and says more than a
letter does, so there the options are scaled: what follows says what their defaults, 40 and 20, become.

First hand, in Netflix's Timed Text Style Guides (partnerhelp.netflixstudios.com, articles by number): a line holds 16
characters in Simplified Chinese (215986007) and Korean (216001127); half-width ones, Latin letters and spaces count
half there, and in Japanese (215767517). Of translations into Japanese a line has 13; the 16 for the language spoken is
second hand.

Second hand, as are all reading speeds: Japanese 7 characters a second and 16 a line where the language spoken is
written, Korean 12 (Pixelogic's guides, support.pixelogicmedia.com, 360026874292 and 115003234492, whose line has 18 in
Korean); Chinese 9 (lists of subtitlers). Arabic, Thai, Devanagari and Cyrillic as Latin: 17 to 20 a second, 42 a line,
with combining marks uncounted by us; an older guide for Thai has 35 (220448308).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from plugins.transcript.options import CaptionOptions


@dataclass(frozen=True)
class Script:
    """What becomes of the options: factors from Latin letters to columns."""

    line: float = 1.0
    speed: float = 1.0


_SCRIPTS: Mapping[str, Script] = {
    "ja": Script(line=2 * 16 / 40, speed=2 * 7 / 20),
    "zh": Script(line=2 * 16 / 40, speed=2 * 9 / 20),
    "yue": Script(line=2 * 16 / 40, speed=2 * 9 / 20),
    "ko": Script(line=2 * 16 / 40, speed=2 * 12 / 20),
}


def scaled(rules: CaptionOptions, language: str) -> CaptionOptions:
    """Return the rules in columns of the language's script; a full-width character takes two."""
    script = _SCRIPTS.get(primary(language), Script())
    return rules.model_copy(
        update={
            "line_length": int(rules.line_length * script.line),
            "reading_speed": rules.reading_speed * script.speed,
        }
    )


def columns(language: str) -> int:
    """Return how many columns a character of the language's script takes as a rule."""
    return 2 if primary(language) in _SCRIPTS else 1


def primary(language: str) -> str:
    """Return the language of a BCP 47 tag, without script and region."""
    return language.lower().replace("_", "-").partition("-")[0]
