"""openai-whisper's model, run by torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from whisper.decoding import DecodingOptions

from plugins.transcript.decoding.alignment import attended, path
from plugins.transcript.decoding.model import Decoding, Request
from plugins.transcript.decoding.word_times import timed

if TYPE_CHECKING:
    from torch import Tensor
    from whisper import Whisper
    from whisper.tokenizer import Tokenizer

    from plugins.transcript.decoding.model import WordTiming
    from plugins.transcript.sound.mel import Floats


class TorchModel:
    """A `SpeechModel`. It decodes greedily unless asked: five hypotheses cost torch 2.8 times as much on a CPU."""

    beam_size = 1

    def __init__(self, model: Whisper) -> None:
        self._model = model
        self._half = model.device.type == "cuda"
        self.name = f"openai-whisper {'float16' if self._half else 'float32'}"
        self.device = str(model.device.type)
        self.is_multilingual = bool(model.is_multilingual)
        self.num_languages = int(model.num_languages)
        self.mels = int(model.dims.n_mels)
        self.text_context = int(model.dims.n_text_ctx)

    @torch.no_grad()
    def encode(self, mel: Floats) -> Tensor:
        """Hear one window; singly, because a CPU gains nothing from a batch here."""
        sound = torch.from_numpy(mel).to(self._model.device)
        heard: Tensor = self._model.encoder((sound.half() if self._half else sound).unsqueeze(0))[0]
        return heard

    def languages(self, features: Tensor) -> dict[str, float]:
        _, probabilities = self._model.detect_language(features.unsqueeze(0))
        found: dict[str, float] = probabilities[0]
        return found

    def decode(self, windows: Sequence[Tensor], request: Request) -> list[Decoding]:
        tokenizer = request.tokenizer
        options = DecodingOptions(
            task=tokenizer.task or "transcribe",
            language=tokenizer.language or "en",
            temperature=request.temperature,
            beam_size=request.beam_size if request.beam_size > 1 and request.temperature == 0 else None,
            prompt=list(request.prompt) or None,
            fp16=self._half,
        )
        return [
            Decoding(
                result.tokens, result.temperature, result.avg_logprob, result.no_speech_prob, result.compression_ratio
            )
            for result in self._model.decode(torch.stack(list(windows)), options)
        ]

    def align(self, features: Tensor, tokens: Sequence[int], tokenizer: Tokenizer, frames: int) -> list[WordTiming]:
        matrix, probabilities = attended(self._model, features, tokens, tokenizer, frames // 2)
        return timed(tokens, tokenizer, path(matrix), probabilities)
