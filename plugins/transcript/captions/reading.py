"""How much of each script a line holds and a second lets read.

The options count Latin letters. A character of Japanese, Chinese or Korean takes two columns and says more than a
letter does, so there the options are scaled: what follows says what their defaults, 40 and 20, become.

Netflix's Timed Text Style Guides as others quote them (Pixelogic's for Japanese; lists of subtitlers for the rest): not
compared with the guides themselves. Japanese: 7 full-width characters a second and 16 a line where the language
spoken is written (of translations 4 and 13); Chinese: 9 and 16; Korean: 12 and 16; half-width ones count half. Arabic,
Thai, Devanagari, Cyrillic and the Latin languages: 17 to 20 a second, 42 a line, combining marks uncounted, as the
options are.
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
