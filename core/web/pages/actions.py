"""What a person has done to jobs, one or several, and how it went."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

from core.errors import AmphipodError, OutOfReach
from core.web.pages import languages
from core.web.pages.languages import Sentences

Action = Literal["cancel", "retry", "tell", "delete"]

#: Jobs that one press may be about.
MOST = 500

#: Refusals that are said.
_SAID = 3


def each(do: Callable[[str], None], jobs: Iterable[str]) -> tuple[int, list[AmphipodError]]:
    """Do it to each of the jobs; returns to how many it was done, and why not to the others.

    Raises:
        OutOfReach: Redis does not answer.
    """
    done, refused = 0, []
    for job in list(dict.fromkeys(jobs))[:MOST]:
        try:
            do(job)
        except OutOfReach:
            raise
        except AmphipodError as error:
            refused.append(error)
        else:
            done += 1
    return done, refused


def words(language: str, action: Action, done: int, refused: list[AmphipodError]) -> tuple[str, Literal["good", "bad"]]:
    """Say what was done, and why something was not."""
    translations = languages.translations(language)
    ngettext = translations.ngettext
    counted = {
        "cancel": ngettext("{count} job cancelled", "{count} jobs cancelled", done),
        "retry": ngettext("{count} job is tried again", "{count} jobs are tried again", done),
        "tell": ngettext("{count} portal is told again", "{count} portals are told again", done),
        "delete": ngettext("{count} job deleted", "{count} jobs deleted", done),
    }[action]
    said = [counted.format(count=done)] if done or not refused else []
    said += [Sentences(language).translate(str(error)) for error in refused[:_SAID]]
    if rest := len(refused[_SAID:]):
        said.append(ngettext("and {count} more", "and {count} more", rest).format(count=rest))
    return ". ".join(said), "bad" if refused else "good"


def statement_words(language: str, action: Literal["retry", "drop"], count: int) -> str:
    ngettext = languages.translations(language).ngettext
    return {
        "retry": ngettext("{count} statement is sent again", "{count} statements are sent again", count),
        "drop": ngettext("{count} statement dropped", "{count} statements dropped", count),
    }[action].format(count=count)
