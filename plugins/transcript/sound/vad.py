"""Where somebody speaks: silero-vad over a recording, from its beginning to its end."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

from plugins.transcript.sound.windows import RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from plugins.transcript.sound.audio import Recording
    from plugins.transcript.sound.windows import Span

    Floats = NDArray[np.float32]

#: Samples that silero-vad takes at a time: 32 ms, with the last of those before.
_CHUNK, _CONTEXT = 512, 64

#: Chunks that go through the network in one call: 64 s.
_BLOCK = 2000

#: Chunks that it listens to before the recording's beginning, which are the beginning itself, backwards: it starts from
#: silence, after which noise that sets in sounds like a voice to it.
_WARM_UP = 16

#: Probability by which speech has to fall below its threshold to end (silero-vad's utils_vad.py).
_HYSTERESIS = 0.15

#: Samples of silence that part two regions, and of speech that make one.
_SILENCE, _SPEECH = RATE // 2, RATE // 10

#: Samples of silence at which a region that is too long may be cut.
_REST = 2 * _CHUNK

#: A voice too low for the threshold: chunks (2 s) over which the mean probability is taken, what it reaches there
#: (noise reaches 0.08), samples for which it goes on, and how far from what is spoken aloud it may be.
_MEAN, _SOFT, _SOFT_SPEECH, _ASIDE = 62, 0.1, 3 * RATE // 2, 5 * RATE

#: Samples around each region: a voice that sets in softly is kept, and whisper hears the end of a sentence by the pause
#: after it.
_PAD = RATE


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
    spoken = spans(probabilities, threshold, _SILENCE, recording.samples)
    spoken = sorted([*spoken, *soft(probabilities, spoken)])
    if spoken and recording.samples <= longest * RATE:
        return Speech(spoken, [(0, recording.samples)])  # one window either way, heard as it was recorded
    phrases = spans(probabilities, threshold, _REST, recording.samples)
    rests = [(one[1], other[0]) for one, other in pairwise(phrases)]
    regions = padded(spoken, _PAD, recording.samples)
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


def spans(probabilities: Sequence[float], threshold: float, silence: int, samples: int) -> list[Span]:
    """Find stretches of speech in the probabilities of chunks, as silero-vad's get_speech_timestamps does.

    :param silence: samples without speech that part two of them.
    :param samples: of the whole recording.
    """
    found: list[Span] = []
    start: int | None = None
    quiet: int | None = None
    for at, probability in enumerate(probabilities):
        sample = at * _CHUNK
        if probability >= threshold:
            quiet = None
            start = sample if start is None else start
        elif start is not None and probability < max(threshold - _HYSTERESIS, 0.01):
            quiet = sample if quiet is None else quiet
            if sample - quiet >= silence:
                found.append((start, quiet))
                start = quiet = None
    if start is not None:
        found.append((start, samples))
    return [(start, end) for start, end in found if end - start > _SPEECH]


def soft(probabilities: Sequence[float], spoken: Sequence[Span]) -> list[Span]:
    """Find where somebody goes on in a low voice next to what is spoken: an aside, an end that fades.

    Chunk by chunk nothing tells it from noise; over seconds it does.
    """
    rest = np.minimum(probabilities, 0.5)
    for start, end in spoken:
        rest[start // _CHUNK : -(-end // _CHUNK)] = 0
    is_soft = (np.convolve(rest, np.ones(_MEAN) / _MEAN, "same") >= _SOFT) & (rest > 0)
    edges = np.flatnonzero(np.diff(is_soft, prepend=False, append=False)).reshape(-1, 2) * _CHUNK
    return [
        (start, end)
        for start, end in edges.tolist()
        if end - start >= _SOFT_SPEECH and any(begin - end < _ASIDE > start - stop for begin, stop in spoken)
    ]


def padded(spoken: Sequence[Span], margin: int, samples: int) -> list[Span]:
    """Add a margin around each stretch; of two that are near each other, each gets half of what is between them."""
    bounds = [0, *(one[1] + (other[0] - one[1]) // 2 for one, other in pairwise(spoken)), samples]
    return [
        (max(start - margin, before), min(end + margin, after))
        for (start, end), before, after in zip(spoken, bounds, bounds[1:], strict=False)
    ]


def _probabilities(recording: Recording) -> list[float]:
    """Return for each chunk how likely it is speech."""
    network = _network()
    first = recording.read(0, min(_WARM_UP * _CHUNK, recording.samples))
    before = np.zeros(_WARM_UP * _CHUNK, np.float32)
    before[len(before) - len(first) :] = first[::-1]
    state = [np.zeros((1, 1, 128), np.float32)] * 2
    context = np.zeros(_CONTEXT, np.float32)
    _, *state = _heard(network, context, before, state)
    found: list[float] = []
    context = before[-_CONTEXT:]
    for start in range(0, recording.samples, _BLOCK * _CHUNK):
        sound = recording.read(start, min(start + _BLOCK * _CHUNK, recording.samples))
        probabilities, *state = _heard(network, context, sound, state)
        found += probabilities.tolist()
        context = sound[-_CONTEXT:]
    return found


def _heard(network: Any, context: Floats, sound: Floats, state: Sequence[Floats]) -> list[Floats]:
    """Send sound through the network. Returns the probabilities of its chunks, and the network's state after them."""
    chunks = -(-len(sound) // _CHUNK)
    whole = np.zeros(_CONTEXT + chunks * _CHUNK, np.float32)
    whole[:_CONTEXT], whole[_CONTEXT : _CONTEXT + len(sound)] = context, sound
    frames = np.lib.stride_tricks.sliding_window_view(whole, _CONTEXT + _CHUNK)[::_CHUNK]
    answer: list[Floats] = network.run(
        ["speech_probs", "hn", "cn"], {"input": np.ascontiguousarray(frames), "h": state[0], "c": state[1]}
    )
    return answer


def _network() -> Any:
    """Load the network that takes many chunks at a time, which comes with silero-vad.

    Its package isn't imported: it imports torch, which nothing here needs.
    """
    package = find_spec("silero_vad")
    assert package
    assert package.submodule_search_locations
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # it warns of what its own optimiser leaves over
    path = Path(package.submodule_search_locations[0]) / "data" / "silero_vad_16k_sequence.onnx"
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
