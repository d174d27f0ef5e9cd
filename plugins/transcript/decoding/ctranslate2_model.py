"""Whisper's model converted for CTranslate2, which runs it in eight bits on a CPU.

How its results are read follows faster-whisper (transcribe.py, generate_with_fallback and find_alignment).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ctranslate2
import numpy as np

from plugins.transcript.decoding.model import Decoding, Request
from plugins.transcript.decoding.word_times import timed

if TYPE_CHECKING:
    from whisper.tokenizer import Tokenizer

    from plugins.transcript.decoding.model import WordTiming
    from plugins.transcript.sound.mel import Floats

#: Of Whisper (decoding.py): tokens of text a window may have, and the latest first time stamp, in ticks of 20 ms.
_LONGEST, _LATEST_START = 448, 50

#: Decodings of which the likeliest is taken at a temperature (whisper's command line, faster-whisper).
_SAMPLES = 5


class ConvertedModel:
    """A `SpeechModel` of a folder that `amphipod models convert` has made, or any Whisper of CTranslate2's."""

    beam_size = 3

    def __init__(self, folder: Path, device: str, threads: int) -> None:
        precision = "float16" if device == "cuda" else "int8"
        self._model: Any = ctranslate2.models.Whisper(
            str(folder), device=device, compute_type=precision, intra_threads=threads, inter_threads=1
        )
        self.name = f"CTranslate2 {precision}"
        self.device = device
        self.is_multilingual = bool(self._model.is_multilingual)
        self.num_languages = int(self._model.num_languages)
        self.mels = int(self._model.n_mels)
        self.text_context = _LONGEST

    def encode(self, mel: Floats) -> Any:
        heard = self._model.encode(_view(mel[None]), to_cpu=True)
        return np.array(heard)[0]

    def languages(self, features: Any) -> dict[str, float]:
        (found,) = self._model.detect_language(_stacked([features]))
        return {token[2:-2]: probability for token, probability in found}

    def decode(self, windows: Sequence[Any], request: Request) -> list[Decoding]:
        tokenizer = request.tokenizer
        begin = [tokenizer.sot_prev, *request.prompt] if request.prompt else []
        how: dict[str, Any] = {"beam_size": request.beam_size}
        if request.temperature > 0:
            ctranslate2.set_random_seed(0)  # the same film has the same captions
            how = {
                "beam_size": 1,
                "num_hypotheses": _SAMPLES,
                "sampling_topk": 0,
                "sampling_temperature": request.temperature,
            }
        results = self._model.generate(
            _stacked(windows),
            [[*begin, *tokenizer.sot_sequence]] * len(windows),
            max_length=_LONGEST,
            max_initial_timestamp_index=_LATEST_START,
            return_scores=True,
            return_no_speech_prob=True,
            **how,
        )
        return [_decoding(result, request) for result in results]

    def align(self, features: Any, tokens: Sequence[int], tokenizer: Tokenizer, frames: int) -> list[WordTiming]:
        (found,) = self._model.align(_stacked([features]), list(tokenizer.sot_sequence), [list(tokens)], frames)
        path = np.array(found.alignments).reshape(-1, 2)
        return timed(tokens, tokenizer, path, found.text_token_probs)


def _view(array: Any) -> Any:
    return ctranslate2.StorageView.from_array(np.ascontiguousarray(array, np.float32))


def _stacked(windows: Sequence[Any]) -> Any:
    return _view(np.stack(list(windows)))


def _decoding(result: Any, request: Request) -> Decoding:
    tokens: list[int] = result.sequences_ids[0]
    text = request.tokenizer.decode([token for token in tokens if token < request.tokenizer.eot]).strip().encode()
    return Decoding(
        tokens=tokens,
        temperature=request.temperature,
        # Of the end of the text, whose probability is in the sum, there is no token.
        avg_logprob=result.scores[0] * len(tokens) / (len(tokens) + 1),
        no_speech_prob=result.no_speech_prob,
        compression_ratio=len(text) / len(zlib.compress(text)),
    )
