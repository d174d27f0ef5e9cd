"""What was spoken and got no words, said to whoever reads the job's notes, its manifest or the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from plugins.transcript.decoding.coverage import Stretch, common, length, less, places, without_words
from plugins.transcript.sound.windows import RATE

if TYPE_CHECKING:
    from plugins.transcript.checkpoint import Notebook, Task
    from plugins.transcript.sound.windows import Span


@dataclass(frozen=True)
class Losses:
    """Stretches of the lecture, in seconds."""

    #: Speech of which every decoding was a repetition.
    given_up: Sequence[Stretch]
    #: Other speech without words.
    unwritten: Sequence[Stretch]
    #: What the translation lacks for the first reason.
    untranslated: Sequence[Stretch]

    @property
    def notes(self) -> list[str]:
        return [
            f"{words}: {length(stretches)} s, at {places(stretches)}"
            for words, stretches in (
                ("speech that could not be made out (every decoding repeats itself) has no captions", self.given_up),
                ("somebody seems to speak where no words were made out", self.unwritten),
                ("speech that could not be translated (every decoding repeats itself)", self.untranslated),
            )
            if stretches
        ]

    @property
    def facts(self) -> Mapping[str, Any]:
        named = {
            "speech_given_up": self.given_up,
            "speech_without_words": self.unwritten,
            "speech_untranslated": self.untranslated,
        }
        return {
            name: {"seconds": length(stretches), "where": [list(stretch) for stretch in stretches]}
            for name, stretches in named.items()
            if stretches
        }


def find_losses(notebook: Notebook) -> Losses:
    """Compare what the detector heard with what was written down; without it, only what was given up is known."""
    given_up = _given_up(notebook, "transcribe")
    spoken = less(_seconds(notebook.spoken or ()), given_up)
    segments = [segment for part in notebook.parts("transcribe") for segment in part.segments]
    return Losses(given_up, without_words(spoken, segments), _given_up(notebook, "translate"))


def _given_up(notebook: Notebook, task: Task) -> list[Stretch]:
    spans = [
        span
        for part in notebook.parts(task)
        if part.is_given_up
        for span in (notebook.lanes or [])[part.lane].after(part.start).first(part.end - part.start).spans
    ]
    return _seconds(spans) if notebook.spoken is None else common(_seconds(spans), _seconds(notebook.spoken))


def _seconds(spans: Sequence[Span]) -> list[Stretch]:
    return [(round(start / RATE, 2), round(end / RATE, 2)) for start, end in spans]
