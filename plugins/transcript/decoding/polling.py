"""Which language each window is decoded in: it votes when it is encoded, and piece by piece where there is doubt."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

import numpy as np

from plugins.transcript.checkpoint import SavedVote, Stretch
from plugins.transcript.decoding.coverage import seconds_within
from plugins.transcript.language import LanguageVerdict, elect, spread_evenly, surely
from plugins.transcript.sound.windows import LENGTH, Window

if TYPE_CHECKING:
    from plugins.transcript.checkpoint import Notebook
    from plugins.transcript.decoding.decoder import Listener, SpeechSound
    from plugins.transcript.decoding.model import SpeechModel
    from plugins.transcript.sound.audio import Recording
    from plugins.transcript.sound.windows import Span

#: Samples that one of the encoder's 1500 frames stands for.
_FRAME = LENGTH // 1500

#: Seconds of speech that are enough to tell a language by.
_TELLING = 3.0

#: Likelihood from which a language is a candidate for a piece of an unsure window.
_CANDIDATE = 0.1


def encode(listener: Listener, recording: Recording, window: Window) -> SpeechSound:
    return listener.encode(np.concatenate([recording.read(start, end) for start, end in window.spans]))


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
        self._votes: dict[int, Mapping[str, float]] = {}
        #: What was encoded for a vote, and by which model.
        self._sounds: dict[int, tuple[SpeechModel, SpeechSound]] = {}

    def survey(self, windows: Sequence[Window], wanted: int) -> LanguageVerdict:
        """Let some windows elect the language that serves where a vote is unsure."""
        return elect([self._vote(at, windows[at]) for at in spread_evenly(len(windows), wanted)])

    def settle(self, batch: Collection[int]) -> None:
        """Note down the languages of windows that are about to be decoded, and weren't asked yet."""
        if asked := [self._settled(at) for at in batch if at not in self._notebook.votes]:
            self._notebook.vote(asked)

    def taken(self, at: int, window: Window) -> SpeechSound | None:
        """Return, once, what was encoded for the vote, if it is all of this window and of the model that decodes."""
        model, sound = self._sounds.pop(at, (None, None))
        return sound if window == self._windows[at] and model is self._listener.model else None

    @property
    def _windows(self) -> Sequence[Window]:
        return self._notebook.windows or []

    def _vote(self, at: int, window: Window) -> Mapping[str, float]:
        if at not in self._votes:
            sound = encode(self._listener, self._recording, window)
            self._sounds[at] = self._listener.model, sound
            self._votes[at] = self._listener.languages(sound)
        return self._votes[at]

    def _settled(self, at: int) -> SavedVote:
        window = self._windows[at]
        vote = self._vote(at, window)
        own = self._sure(window, vote)
        languages = self._piecewise(window, vote) if own is None else self._checked(window, own, self._sounds[at][1])
        return SavedVote(
            window=at,
            vote={code: round(likelihood, 4) for code, likelihood in vote.items()},
            stretches=tuple(self._stretches(languages)),
        )

    def _stretches(self, languages: Sequence[tuple[int, str | None]]) -> list[Stretch]:
        assert self._notebook.verdict is not None
        main = self._notebook.verdict.language
        return [
            Stretch(end=list(pieces)[-1][0], language=language or main, is_sure=language is not None)
            for language, pieces in groupby(languages, key=lambda piece: piece[1])
        ]

    def _piecewise(self, window: Window, vote: Mapping[str, float]) -> list[tuple[int, str | None]]:
        assert self._notebook.verdict is not None
        candidates = {code for code, likelihood in vote.items() if likelihood >= _CANDIDATE}
        pieces = self._pieces(window)
        if len(pieces) == 1 or not candidates:
            return [(window.samples, None)]
        among = {*candidates, self._notebook.verdict.language}
        return [(end, self._heard_in(window, (start, end), among)) for start, end in pieces]

    def _checked(self, window: Window, own: str, sound: SpeechSound) -> list[tuple[int, str | None]]:
        """Ask each piece of a window that is sure: whether it is in the same language."""
        pieces = self._pieces(window)
        if len(pieces) == 1:
            return [(window.samples, own)]
        languages: list[tuple[int, str | None]] = []
        for start, end in pieces:
            first, count = start // _FRAME, max((end - start) // _FRAME, 1)
            alone = sound.features[np.arange(len(sound.features)) % count + first]
            agrees = surely(self._listener.model.languages(alone)) == own
            languages.append((end, own if agrees else self._doubted(window, (start, end), own)))
        return languages

    def _sure(self, window: Window, vote: Mapping[str, float]) -> str | None:
        """Return what a vote is sure of; a cry in another language is no evidence."""
        assert self._notebook.verdict is not None
        own = surely(vote)
        return own if own == self._notebook.verdict.language or self._speech(window) >= _TELLING else None

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
                if self._speech(window.after(cuts[-1]).first(cut - cuts[-1])) >= _TELLING:
                    cuts.append(cut)
        if len(cuts) > 1:
            cuts[-1] = window.samples  # what is left is too little: it goes to the piece before
        else:
            cuts.append(window.samples)
        return list(pairwise(cuts))
