"""Whisper's time stamps: what a window's tokens say, and up to where they account for its sound."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from plugins.transcript.captions.tokens import ends_sentence

if TYPE_CHECKING:
    from whisper.tokenizer import Tokenizer

#: Seconds that one timestamp token stands for.
_TICK = 0.02

#: Seconds that a decoding has to account for at least, if it is to be cut short: a window of 30 s is decoded no more
#: than 30 times.
STEP = 1.0


#: Seconds before the sound's end in which no sentence begins: whisper likes to say one more there.
_NOTHING = 0.1

#: Seconds of a rest that is too short to be heard without the beginning of its sentence: of a last word alone the model
#: makes three.
_SCRAP = 5.0


@dataclass(frozen=True)
class WindowReading:
    """The part of a window's tokens that counts: segments as whisper makes them, in the window's seconds."""

    segments: list[dict[str, Any]]
    tokens: list[int]
    #: Second up to which the window is heard; None where no stamp tells, and the last word has to.
    heard: float | None
    #: Second from which to go on if what follows `heard` is worth it: a sentence was cut, and its rest is short.
    again: float | None = None
    #: Second from which on nobody speaks, says the model.
    silent: float | None = None


def read(tokens: Sequence[int], tokenizer: Tokenizer, seconds: float) -> WindowReading:
    """Read a window of so many seconds by whisper's own rule (whisper/transcribe.py, single_timestamp_ending).

    A lone stamp at the end says that nobody speaks after it. Two that meet there, or text that no stamp ends, say that
    the model has stopped before the sound does: what follows the last two that meet has to be decoded again, and the
    text there counts for nothing.
    """
    begin = tokenizer.timestamp_begin
    stamps = [token >= begin for token in tokens]
    if stamps[-2:] == [False, True]:
        silent = (tokens[-1] - begin) * _TICK
        return WindowReading(list(_segments(tokens, tokenizer, seconds)), list(tokens), seconds, silent=silent)
    meets = {at: (tokens[at - 1] - begin) * _TICK for at in range(1, len(tokens)) if stamps[at - 1] and stamps[at]}
    worth = [at for at, heard in meets.items() if heard >= STEP]
    if worth:
        kept = list(tokens[: worth[-1]])
        segments = list(_segments(kept, tokenizer, seconds))
        is_cut = bool(segments) and not ends_sentence(segments[-1]["text"].rstrip())
        again = next((meets[at] for at in reversed(worth) if is_cut and seconds - meets[at] >= _SCRAP), None)
        return WindowReading(segments, kept, min(meets[worth[-1]], seconds), again)
    return WindowReading(list(_segments(tokens, tokenizer, seconds)), list(tokens), None)


def _segments(tokens: Sequence[int], tokenizer: Tokenizer, seconds: float) -> Iterable[dict[str, Any]]:
    """Cut tokens where two stamps meet; what is open at the end lasts until the window ends."""
    begin = tokenizer.timestamp_begin
    cuts = [at for at in range(1, len(tokens)) if tokens[at - 1] >= begin <= tokens[at]]
    reached = 0.0
    for first, last in zip([0, *cuts], [*cuts, len(tokens)], strict=True):
        part = list(tokens[first:last])
        stamps = [(token - begin) * _TICK for token in part if token >= begin]
        closed = len(part) > 1 and part[-1] >= begin
        start = min(stamps[0], seconds) if stamps and part[0] >= begin else reached
        reached = max(min(stamps[-1], seconds) if closed else seconds, start)
        words = [token for token in part if token < tokenizer.eot]
        text = tokenizer.decode(words)
        if text.strip() and start < seconds - _NOTHING:
            yield {"seek": 0, "start": start, "end": reached, "text": text, "tokens": part}
