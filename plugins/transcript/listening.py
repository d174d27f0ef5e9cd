"""What whisper hears in windows: batches decoded greedily, the doubtful ones again, words placed in time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from whisper.audio import HOP_LENGTH, N_FRAMES, N_SAMPLES, log_mel_spectrogram, pad_or_trim
from whisper.decoding import DecodingOptions
from whisper.timing import add_word_timestamps
from whisper.tokenizer import get_tokenizer

from plugins.transcript.windows import RATE

if TYPE_CHECKING:
    from torch import Tensor
    from whisper import Whisper
    from whisper.decoding import DecodingResult
    from whisper.tokenizer import Tokenizer

    from plugins.transcript.audio import Samples
    from plugins.transcript.options import TranscribeOptions

#: Seconds that one timestamp token stands for.
_TICK = 0.02


@dataclass(frozen=True)
class Sound:
    """A window as the encoder has heard it; `frames` of its mel spectrogram are sound, the rest is padding."""

    features: Tensor
    frames: int


@dataclass(frozen=True)
class Heard:
    """What was said in one window, in its own seconds: dictionaries as whisper makes them."""

    segments: list[dict[str, Any]]
    tokens: list[int]
    temperature: float


@dataclass
class Listener:
    """A model with what a job asks of it. `language` is whisper's code, None for a model that knows only English."""

    model: Whisper
    options: TranscribeOptions
    language: str | None = None
    half: bool = field(init=False)

    def __post_init__(self) -> None:
        self.half = self.model.device.type == "cuda"

    @torch.no_grad()
    def encode(self, samples: Samples) -> Sound:
        """Hear one window; singly, because a CPU gains nothing from a batch here."""
        frames = min(len(samples) // HOP_LENGTH, N_FRAMES)
        mel = log_mel_spectrogram(samples, self.model.dims.n_mels, padding=N_SAMPLES, device=self.model.device)
        mel = pad_or_trim(mel[:, :frames], N_FRAMES)
        return Sound(self.model.encoder((mel.half() if self.half else mel).unsqueeze(0))[0], frames)

    def languages(self, sound: Sound) -> dict[str, float]:
        """Return how likely each language is."""
        _, probabilities = self.model.detect_language(sound.features.unsqueeze(0))
        found: dict[str, float] = probabilities[0]
        return found

    def decode(self, sounds: Sequence[Sound], task: str, prompt: Sequence[int] = ()) -> list[Heard]:
        """Write down what is said in each window; words get times unless they are a translation."""
        tokenizer = self.tokenizer(task)
        features = torch.stack([sound.features for sound in sounds])
        results: dict[int, DecodingResult] = {}
        for temperature in (0.0, *self.options.fallback_temperatures):
            doubtful = [at for at in range(len(sounds)) if at not in results or self._is_doubtful(results[at])]
            if not doubtful:
                break
            chosen = DecodingOptions(
                task=task, language=self.language, temperature=temperature, prompt=list(prompt) or None, fp16=self.half
            )
            decoded = self.model.decode(features if len(doubtful) == len(sounds) else features[doubtful], chosen)
            results.update(zip(doubtful, decoded, strict=True))
        return [self._heard(sound, results[at], tokenizer, task) for at, sound in enumerate(sounds)]

    def tokenizer(self, task: str = "transcribe") -> Tokenizer:
        return get_tokenizer(
            self.model.is_multilingual,
            num_languages=self.model.num_languages,
            language=self.language or "en",
            task=task,
        )

    def _is_doubtful(self, result: DecodingResult) -> bool:
        """Whisper's own checks (whisper/transcribe.py, decode_with_fallback)."""
        return not self._is_silence(result) and (
            _exceeds(result.compression_ratio, self.options.compression_ratio_threshold)
            or _exceeds(self.options.logprob_threshold, result.avg_logprob)
        )

    def _is_silence(self, result: DecodingResult) -> bool:
        guess = self.options.logprob_threshold is None or result.avg_logprob <= self.options.logprob_threshold
        return guess and _exceeds(result.no_speech_prob, self.options.no_speech_threshold)

    def _heard(self, sound: Sound, result: DecodingResult, tokenizer: Tokenizer, task: str) -> Heard:
        seconds = sound.frames * HOP_LENGTH / RATE
        segments = [] if self._is_silence(result) else list(_segments(result.tokens, tokenizer, seconds))
        segments = [segment for segment in segments if segment["text"].strip()]
        if segments and task == "transcribe":
            add_word_timestamps(
                segments=segments,
                model=_Encoded(self.model),
                tokenizer=tokenizer,
                mel=sound.features,
                num_frames=sound.frames,
                last_speech_timestamp=0.0,
            )
        return Heard(segments, result.tokens, result.temperature)


class _Encoded:
    """A model to whisper.timing, which would encode each window a second time: here the sound is encoded already."""

    def __init__(self, model: Whisper) -> None:
        self.device, self.dims = model.device, model.dims
        self.decoder, self.alignment_heads = model.decoder, model.alignment_heads

    def __call__(self, features: Tensor, tokens: Tensor) -> Tensor:
        logits: Tensor = self.decoder(tokens, features)
        return logits


def _exceeds(value: float | None, limit: float | None) -> bool:
    return value is not None and limit is not None and value > limit


def _segments(tokens: Sequence[int], tokenizer: Tokenizer, seconds: float) -> Iterable[dict[str, Any]]:
    """Cut a window's tokens where two timestamps meet; what is open at the end lasts until the window ends."""
    begin = tokenizer.timestamp_begin
    cuts = [at for at in range(1, len(tokens)) if tokens[at - 1] >= begin <= tokens[at]]
    reached = 0.0
    for first, last in zip([0, *cuts], [*cuts, len(tokens)], strict=True):
        part = list(tokens[first:last])
        stamps = [(token - begin) * _TICK for token in part if token >= begin]
        closed = len(part) > 1 and part[-1] >= begin
        start = min(stamps[0], seconds) if stamps and part[0] >= begin else reached
        reached = max(min(stamps[-1], seconds) if closed else seconds, start)
        text = [token for token in part if token < tokenizer.eot]
        if text:
            yield {"seek": 0, "start": start, "end": reached, "text": tokenizer.decode(text), "tokens": part}
