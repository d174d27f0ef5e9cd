"""Which language each window is decoded in: it votes when it is encoded, and piece by piece where there is doubt."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

import numpy as np

from plugins.transcript.checkpoint import LanguageStretch, SavedVote
from plugins.transcript.decoding.coverage import seconds_within
from plugins.transcript.language import TELLING, LanguageVerdict, elect, spread_evenly, surely
from plugins.transcript.sound.windows import LENGTH, Window, next_window, pieces

if TYPE_CHECKING:
    from plugins.transcript.checkpoint import Notebook
    from plugins.transcript.decoding.decoder import Listener, SpeechSound
    from plugins.transcript.decoding.model import SpeechModel
    from plugins.transcript.sound.audio import Recording
    from plugins.transcript.sound.windows import Span

#: A number of a lane and the sample of it that is to be heard next.
Place = tuple[int, int]

#: Samples that one of the encoder's 1500 frames stands for.
_FRAME = LENGTH // 1500

#: Likelihood from which a language is a candidate for a piece of an unsure window.
_CANDIDATE = 0.1


def encode(listener: Listener, recording: Recording, window: Window) -> SpeechSound:
    return listener.encode(np.concatenate([recording.read(start, end) for start, end in window.spans]))


def next_in_one_language(notebook: Notebook, place: Place) -> Window:
    """Return what of a lane is heard next: no more than one language."""
    at, start = place
    window = _next(notebook, place)
    vote = notebook.vote_on(at, start)
    return window.first(notebook.stretch(at, start).end - start) if vote and len(vote.stretches) > 1 else window


def _next(notebook: Notebook, place: Place) -> Window:
    assert notebook.lanes is not None
    return next_window(notebook.lanes[place[0]].after(place[1]), notebook.rests)


class Poll:
    """Asks windows for their language just before they are decoded, so that each is encoded once for both.

    A window that is unsure is asked piece by piece, cut where the voice pauses. One that is sure may have listened to
    its beginning alone, so its pieces are asked, too, by what the encoder has made of them, repeated to a window's
    length: that costs a step of the decoder each, and only a piece that isn't sure of the same is encoded by itself.
    """

    def __init__(self, listener: Listener, recording: Recording, notebook: Notebook) -> None:
        self._listener = listener
        self._recording = recording
        self._notebook = notebook
        #: What was encoded for a vote, and by which model.
        self._sounds: dict[Window, tuple[SpeechModel, SpeechSound]] = {}

    def survey(self, lanes: Sequence[Window], rests: Sequence[Span], wanted: int) -> LanguageVerdict:
        """Let windows from all over the lecture elect the language that serves where a vote is unsure."""
        windows = [next_window(lane, rests) for lane in lanes]
        if len(windows) < wanted:
            windows = pieces(lanes)
        return elect([self._vote(windows[at]) for at in spread_evenly(len(windows), wanted)])

    def settle(self, batch: Sequence[Place]) -> None:
        """Note down the languages of windows that are about to be decoded, and weren't asked yet."""
        votes = ((place, self._notebook.vote_on(*place)) for place in batch)
        # what was heard of a window in one language is followed by another window, whose end was not asked yet
        asked = [self._settled(place) for place, vote in votes if vote is None or len(vote.stretches) == 1]
        if asked:
            self._notebook.vote(asked)

    def taken(self, window: Window) -> SpeechSound | None:
        """Return, once, what was encoded for the vote, if it is of this window and of the model that decodes."""
        model, sound = self._sounds.pop(window, (None, None))
        return sound if model is self._listener.model else None

    def _vote(self, window: Window) -> Mapping[str, float]:
        model, _ = self._sounds.get(window, (None, None))
        if model is not self._listener.model:  # the elected language may have weights of its own
            self._sounds[window] = self._listener.model, encode(self._listener, self._recording, window)
        return self._listener.languages(self._sounds[window][1])

    def _settled(self, place: Place) -> SavedVote:
        at, start = place
        window = _next(self._notebook, place)
        vote = self._vote(window)
        own = self._sure(window, vote)
        if own is None:
            languages = self._piecewise(window, vote)
        else:
            languages = self._checked(window, own, self._sounds[window][1])
        stretches = self._stretches(languages, start)
        if len(stretches) > 1:
            del self._sounds[window]  # no more than one language is decoded at once, so nobody takes the whole
        return SavedVote(
            lane=at,
            start=start,
            vote={code: round(likelihood, 4) for code, likelihood in vote.items()},
            stretches=tuple(stretches),
        )

    def _stretches(self, languages: Sequence[tuple[int, str | None]], start: int) -> list[LanguageStretch]:
        assert self._notebook.verdict is not None
        main = self._notebook.verdict.language
        return [
            LanguageStretch(end=start + list(parts)[-1][0], language=language or main, is_sure=language is not None)
            for language, parts in groupby(languages, key=lambda piece: piece[1])
        ]

    def _piecewise(self, window: Window, vote: Mapping[str, float]) -> list[tuple[int, str | None]]:
        assert self._notebook.verdict is not None
        candidates = {code for code, likelihood in vote.items() if likelihood >= _CANDIDATE}
        parts = self._pieces(window)
        if len(parts) == 1 or not candidates:
            return [(window.samples, None)]
        among = {*candidates, self._notebook.verdict.language}
        return [(part[1], self._heard_in(window, part, among)) for part in parts]

    def _checked(self, window: Window, own: str, sound: SpeechSound) -> list[tuple[int, str | None]]:
        """Ask each piece of a window that is sure: whether it is in the same language."""
        parts = self._pieces(window)
        if len(parts) == 1:
            return [(window.samples, own)]
        languages: list[tuple[int, str | None]] = []
        for start, end in parts:
            first, count = start // _FRAME, max((end - start) // _FRAME, 1)
            alone = sound.features[np.arange(len(sound.features)) % count + first]
            agrees = surely(self._listener.model.languages(alone)) == own
            languages.append((end, own if agrees else self._doubted(window, (start, end), own)))
        return languages

    def _sure(self, window: Window, vote: Mapping[str, float]) -> str | None:
        """Return what a vote is sure of; a cry in another language is no evidence."""
        assert self._notebook.verdict is not None
        own = surely(vote)
        return own if own == self._notebook.verdict.language or self._speech(window) >= TELLING else None

    def _heard_in(self, window: Window, piece: Span, among: Collection[str]) -> str | None:
        return surely(self._piece_vote(window, piece), among)

    def _doubted(self, window: Window, piece: Span, own: str) -> str | None:
        """Return a piece's own language, that of its window if it is likeliest, or None."""
        vote = self._piece_vote(window, piece)
        return surely(vote) or (own if max(vote, key=lambda code: vote[code]) == own else None)

    def _piece_vote(self, window: Window, piece: Span) -> Mapping[str, float]:
        start, end = piece
        sound = encode(self._listener, self._recording, window.after(start).first(end - start))
        return self._listener.languages(sound)

    def _speech(self, window: Window) -> float:
        spoken = self._notebook.spoken
        return window.seconds if spoken is None else seconds_within(window.spans, spoken)

    def _pieces(self, window: Window) -> list[Span]:
        """Cut a window, on its own clock, where the voice pauses, into pieces that have enough speech to tell by."""
        pauses = [(one[1] + other[0]) // 2 for one, other in pairwise(self._notebook.spoken or ())]
        cuts, passed = [0], 0
        for start, end in window.spans:
            inside = [passed + pause - start for pause in pauses if start < pause < end]
            passed += end - start
            for cut in (*inside, passed):
                if self._speech(window.after(cuts[-1]).first(cut - cuts[-1])) >= TELLING:
                    cuts.append(cut)
        if len(cuts) > 1:
            cuts[-1] = window.samples  # what is left is too little: it goes to the piece before
        else:
            cuts.append(window.samples)
        return list(pairwise(cuts))
