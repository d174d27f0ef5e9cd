"""Which languages a lecture turned out to be in, by the votes of its windows: for its facts and its notes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from plugins.transcript.decoding.coverage import Stretch, length, places, seconds_within
from plugins.transcript.language import DOUBTFUL, TELLING, LanguageVerdict, elect, name_of
from plugins.transcript.sound.windows import RATE

if TYPE_CHECKING:
    from plugins.transcript.checkpoint import LanguageStretch, Notebook, SavedVote


@dataclass(frozen=True)
class Tally:
    """The lecture's language, the one with the most seconds of speech, and where others are spoken."""

    verdict: LanguageVerdict
    #: Seconds of speech by language, the most first; no votes, no entry.
    seconds: Mapping[str, float]
    #: Where each language but the lecture's is spoken.
    others: Mapping[str, Sequence[Stretch]]
    #: What was written down in the lecture's language though its vote is for another, unsurely.
    unsure: Sequence[Stretch] = ()

    @property
    def facts(self) -> Mapping[str, Any]:
        if self.verdict.probability is None:
            return {}
        facts: dict[str, Any] = {
            "language_probability": self.verdict.probability,
            "language_alternatives": dict(self.verdict.alternatives or {}),
        }
        if self.others:
            facts["languages"] = dict(self.seconds)
            facts["other_languages"] = {code: [list(one) for one in where] for code, where in self.others.items()}
        return facts

    @property
    def notes(self) -> list[str]:
        verdict, notes = self.verdict, []
        if verdict.probability is not None and verdict.probability < DOUBTFUL:
            codes = {verdict.language: verdict.probability, **(verdict.alternatives or {})}
            others = ", ".join(f"{name_of(code)} ({share:.0%})" for code, share in codes.items() if share >= 0.01)
            notes.append(
                f"it is not sure which language is spoken: {others}; the captions are in {name_of(verdict.language)}, "
                "name the right one with --language"
            )
        elif self.unsure:
            notes.append(
                f"it is not sure that {name_of(verdict.language)} is spoken, in which the captions are, for "
                f"{length(self.unsure)} s, at {places(self.unsure)}"
            )
        if self.others:
            spoken = ", ".join(
                f"{name_of(code)} for {self.seconds.get(code, 0.0):.0f} s, at {places(where)}"
                for code, where in self.others.items()
            )
            main = f"{name_of(verdict.language)} for {self.seconds.get(verdict.language, 0.0):.0f} s"
            notes.append(f"several languages are spoken, and each has captions of its own words: {main}, {spoken}")
        return notes


def tally(notebook: Notebook) -> Tally:
    """Count what was voted for; where nobody was asked, the language is what it was taken for."""
    assert notebook.verdict is not None
    lanes, first = notebook.lanes or [], notebook.verdict
    if not notebook.votes:
        return Tally(first, {}, {})
    where: dict[str, list[Stretch]] = {}
    seconds: dict[str, float] = {}
    unsure: list[Stretch] = []
    for at, start, stretch, saved in _stretches(notebook):
        part = lanes[at].after(start).first(stretch.end - start)
        spans = [(begin / RATE, end / RATE) for begin, end in part.spans]
        spoken = part.seconds if notebook.spoken is None else seconds_within(part.spans, notebook.spoken)
        seconds[stretch.language] = seconds.get(stretch.language, 0.0) + spoken
        where.setdefault(stretch.language, []).extend(spans)
        is_odd = len(saved.stretches) > 1 or max(saved.vote, key=lambda code: saved.vote[code]) != stretch.language
        if is_odd and not stretch.is_sure:
            unsure += spans
    main = max(seconds, key=lambda code: (seconds[code], code == first.language))
    verdict = elect(_votes_that_tell(notebook, main), main)
    order = sorted(seconds, key=lambda code: -seconds[code])
    return Tally(
        verdict,
        {code: round(seconds[code], 1) for code in order},
        {code: where[code] for code in order if code != main},
        unsure,
    )


def _votes_that_tell(notebook: Notebook, language: str) -> list[Mapping[str, float]]:
    """Return the votes of windows that begin in a language and have enough of it; all if there are none."""
    votes = notebook.votes.values()
    own = [saved for saved in votes if saved.stretches[0].language == language]
    long = [saved for saved in own if saved.stretches[-1].end - saved.start >= TELLING * RATE]
    return [saved.vote for saved in long or own or votes]


def _stretches(notebook: Notebook) -> Iterator[tuple[int, int, LanguageStretch, SavedVote]]:
    """Yield lane, first sample, stretch and its vote, up to where the next window begins: windows may overlap."""
    order = sorted(notebook.votes)
    for place, following in zip_longest(order, order[1:]):
        at, start = place
        latest = following[1] if following and following[0] == at else (notebook.lanes or [])[at].samples
        saved = notebook.votes[place]
        for stretch in saved.stretches:
            end = min(stretch.end, latest)
            if start < end:
                yield at, start, stretch.model_copy(update={"end": end}), saved
            start = end
