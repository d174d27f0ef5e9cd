"""Where somebody speaks: silero-vad over a recording, many places at once."""

from __future__ import annotations

import warnings
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import silero_vad
import torch

from plugins.transcript.sound.windows import RATE

if TYPE_CHECKING:
    from plugins.transcript.sound.audio import Recording
    from plugins.transcript.sound.windows import Span

#: Samples that silero-vad takes at a time: 32 ms.
_CHUNK = 512

#: The network goes through one place chunk by chunk, and through so many places at once: an hour costs a CPU 7.3 s with
#: 16 of them and 5.2 s with 32; with 64, which cost 4.0 s, it starts anew so often that it hears a second more of
#: speech in five minutes.
_LANES = 32

#: Chunks that a lane takes, at least and at most: memory is bounded, and warming up is a small part.
_LANE_MIN, _LANE_MAX = 128, 400

#: Chunks before its own that a lane listens to, because the network starts from silence, after which noise that sets in
#: sounds like a voice to it. Before the recording's beginning that is the beginning itself, backwards.
_WARM_UP = 16

#: Milliseconds of silence that part two regions, and of speech that make one.
_SILENCE, _SPEECH = 500, 100

#: Milliseconds of silence at which a region that is too long may be cut.
_REST = 64

#: Milliseconds around each region: a voice that sets in softly is kept, and whisper hears the end of a sentence by the
#: pause after it.
_PAD = 1000


@dataclass(frozen=True)
class Speech:
    """Where somebody speaks, in samples, in order."""

    #: As the detector hears it; only pauses shorter than half a second are part of it.
    spoken: Sequence[Span]
    #: The same with what the model has to hear around it.
    regions: Sequence[Span]
    #: Where the voice rests for a moment: between words, and longer.
    rests: Sequence[Span] = ()


def find_speech(recording: Recording, threshold: float, longest: float) -> Speech:
    """Find where somebody speaks; no region is longer than `longest` seconds, cut where the voice rests."""
    probabilities = _probabilities(recording)
    spoken = _spans(probabilities, recording, threshold)
    if spoken and recording.samples <= longest * RATE:
        return Speech(spoken, [(0, recording.samples)])  # one window either way, heard as it was recorded
    phrases = _spans(probabilities, recording, threshold, silence=_REST)
    rests = [(one[1], other[0]) for one, other in pairwise(phrases)]
    regions = _spans(probabilities, recording, threshold, pad=_PAD)
    return Speech(spoken, [part for region in regions for part in cut(region, rests, round(longest * RATE))], rests)


def cut(region: Span, rests: Sequence[Span], longest: int) -> Iterator[Span]:
    """Cut a region into parts of at most `longest` samples, in the middle of the longest rest of each one's last third.

    A window filled so far gives the model more to understand than two halves do.
    """
    start, end = region
    while end - start > longest:
        first, last = (bisect_right(rests, (start + within,)) for within in (2 * longest // 3, longest))
        rest = max(rests[first:last], key=lambda rest: rest[1] - rest[0], default=(start + longest, start + longest))
        at = min(sum(rest) // 2, start + longest)
        yield start, at
        start = at
    yield start, end


def _spans(
    probabilities: list[float], recording: Recording, threshold: float, silence: int = _SILENCE, pad: int = 0
) -> Sequence[Span]:
    found = silero_vad.get_speech_timestamps_from_probs(
        probabilities,
        sampling_rate=RATE,
        threshold=threshold,
        min_speech_duration_ms=_SPEECH,
        min_silence_duration_ms=silence,
        speech_pad_ms=pad,
        audio_length_samples=recording.samples,
    )
    return [(region["start"], region["end"]) for region in found]


def _probabilities(recording: Recording) -> list[float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch.jit, in which silero-vad comes
        network = silero_vad.load_silero_vad()
    chunks = -(-recording.samples // _CHUNK)
    probabilities: list[float] = []
    block = _LANES * _LANE_MAX
    with torch.inference_mode():
        for first in range(0, chunks, block):
            probabilities += _block(network, recording, first, min(block, chunks - first))
    return probabilities


def _block(network: Any, recording: Recording, first: int, count: int) -> list[float]:
    lanes = max(1, min(_LANES, count // _LANE_MIN))
    own = -(-count // lanes)
    before = min(first, _WARM_UP)
    sound = recording.read((first - before) * _CHUNK, min((first + count) * _CHUNK, recording.samples))
    whole = np.zeros((_WARM_UP + lanes * own) * _CHUNK, np.float32)
    whole[(_WARM_UP - before) * _CHUNK :][: len(sound)] = sound
    if before < _WARM_UP:
        mirrored = sound[: _WARM_UP * _CHUNK][::-1]
        whole[_WARM_UP * _CHUNK - len(mirrored) : _WARM_UP * _CHUNK] = mirrored
    table = torch.from_numpy(whole).unfold(0, (_WARM_UP + own) * _CHUNK, own * _CHUNK)
    network.reset_states()
    columns = [
        network(table[:, at * _CHUNK : (at + 1) * _CHUNK].contiguous(), RATE)[:, 0] for at in range(_WARM_UP + own)
    ]
    flat: list[float] = torch.stack(columns[_WARM_UP:], dim=1).flatten().tolist()
    return flat[:count]
