"""Whether a decoding is good enough, and which of several is kept: whisper's own checks (whisper/transcribe.py)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plugins.transcript.decoding.model import Decoding
    from plugins.transcript.options import TranscribeOptions


def is_doubtful(result: Decoding, options: TranscribeOptions) -> bool:
    """Tell whether it has to be decoded again, at a higher temperature."""
    return not is_silence(result, options) and (
        _is_repetition(result, options) or _exceeds(options.logprob_threshold, result.avg_logprob)
    )


def is_silence(result: Decoding, options: TranscribeOptions) -> bool:
    guess = options.logprob_threshold is None or result.avg_logprob <= options.logprob_threshold
    return guess and _exceeds(result.no_speech_prob, options.no_speech_threshold)


def best(results: Sequence[Decoding], options: TranscribeOptions) -> Decoding | None:
    """Choose among a window's decodings: the one that passed the checks, else the likeliest that is no repetition.

    The last one need not be good: temperature 1 writes anything. None: all are repetitions.
    """
    if not is_doubtful(results[-1], options):
        return results[-1]
    readable = [result for result in results if not _is_repetition(result, options)]
    return max(readable, key=lambda result: result.avg_logprob, default=None)


def _is_repetition(result: Decoding, options: TranscribeOptions) -> bool:
    return _exceeds(result.compression_ratio, options.compression_ratio_threshold)


def _exceeds(value: float | None, limit: float | None) -> bool:
    return value is not None and limit is not None and value > limit
