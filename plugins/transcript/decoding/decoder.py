"""What whisper hears in windows: batches decoded greedily, the doubtful ones again, words placed in time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import pad
from whisper import timing
from whisper.audio import HOP_LENGTH, N_FRAMES, N_SAMPLES, log_mel_spectrogram, pad_or_trim
from whisper.decoding import DecodingOptions
from whisper.tokenizer import get_tokenizer

from plugins.transcript.decoding.fallback import best, is_doubtful, is_silence
from plugins.transcript.decoding.timestamps import STEP, read
from plugins.transcript.sound.windows import RATE

if TYPE_CHECKING:
    from torch import Tensor
    from whisper import Whisper
    from whisper.decoding import DecodingResult
    from whisper.tokenizer import Tokenizer

    from plugins.transcript.options import TranscribeOptions
    from plugins.transcript.sound.audio import Samples


def median_filtered(weights: Tensor, width: int) -> Tensor:
    """Return the medians of `width` neighbours in the last dimension, on the CPU: whisper.timing.median_filter.

    On a graphics processor whisper has Triton start a compiler for it, and for the alignment of what is there, which a
    confined process may not; so it is done by torch, and what comes of it is aligned on the CPU.
    """
    margin = width // 2
    if weights.shape[-1] > margin:
        padded = pad(weights, (margin, margin), mode="reflect")
        weights = padded.unfold(-1, width, 1).sort()[0][..., margin]
    return weights.float().cpu()


timing.median_filter = wraps(timing.median_filter)(median_filtered)


@dataclass(frozen=True)
class SpeechSound:
    """A window as the encoder has heard it; `frames` of its mel spectrogram are sound, the rest is padding."""

    features: Tensor
    frames: int


@dataclass(frozen=True)
class Heard:
    """What was said in one window, in its own seconds: dictionaries as whisper makes them."""

    segments: list[dict[str, Any]]
    tokens: list[int]
    temperature: float
    #: Second up to which the window is heard; what follows has to be encoded and decoded again.
    until: float
    #: How often it was decoded: more than once where it failed a check.
    tries: int = 1
    #: Whether every temperature made a repetition of it, so that nothing is kept.
    is_given_up: bool = False


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
    def encode(self, samples: Samples) -> SpeechSound:
        """Hear one window; singly, because a CPU gains nothing from a batch here."""
        frames = min(len(samples) // HOP_LENGTH, N_FRAMES)
        mel = log_mel_spectrogram(samples, self.model.dims.n_mels, padding=N_SAMPLES, device=self.model.device)
        mel = pad_or_trim(mel[:, :frames], N_FRAMES)
        return SpeechSound(self.model.encoder((mel.half() if self.half else mel).unsqueeze(0))[0], frames)

    def languages(self, sound: SpeechSound) -> dict[str, float]:
        """Return how likely each language is."""
        _, probabilities = self.model.detect_language(sound.features.unsqueeze(0))
        found: dict[str, float] = probabilities[0]
        return found

    def decode(self, sounds: Sequence[SpeechSound], task: str, prompt: Sequence[int] = ()) -> list[Heard]:
        """Write down what is said in each window; words get times unless they are a translation."""
        tokenizer = self.tokenizer(task)
        features = torch.stack([sound.features for sound in sounds])
        tried: list[list[DecodingResult]] = [[] for _ in sounds]
        for temperature in (0.0, *self.options.fallback_temperatures):
            doubtful = [at for at, results in enumerate(tried) if not results or is_doubtful(results[-1], self.options)]
            if not doubtful:
                break
            chosen = DecodingOptions(
                task=task, language=self.language, temperature=temperature, prompt=list(prompt) or None, fp16=self.half
            )
            decoded = self.model.decode(features if len(doubtful) == len(sounds) else features[doubtful], chosen)
            for at, result in zip(doubtful, decoded, strict=True):
                tried[at].append(result)
        return [
            replace(self._heard(sound, best(results, self.options), tokenizer, task), tries=len(results))
            for sound, results in zip(sounds, tried, strict=True)
        ]

    def tokenizer(self, task: str = "transcribe") -> Tokenizer:
        return get_tokenizer(
            self.model.is_multilingual,
            num_languages=self.model.num_languages,
            language=self.language or "en",
            task=task,
        )

    def _heard(self, sound: SpeechSound, result: DecodingResult | None, tokenizer: Tokenizer, task: str) -> Heard:
        seconds = sound.frames * HOP_LENGTH / RATE
        if result is None:
            return Heard([], [], 0.0, seconds, is_given_up=True)
        if is_silence(result, self.options):
            return Heard([], result.tokens, result.temperature, seconds)
        reading = read(result.tokens, tokenizer, seconds)
        if reading.segments and task == "transcribe":
            timing.add_word_timestamps(
                segments=reading.segments,
                model=_Encoded(self.model),
                tokenizer=tokenizer,
                mel=sound.features,
                num_frames=sound.frames,
                last_speech_timestamp=0.0,
            )
        until = _last_word(reading.segments, seconds) if reading.heard is None else reading.heard
        return Heard(reading.segments, reading.tokens, result.temperature, until)


class _Encoded:
    """A model to whisper.timing, which would encode each window a second time: here the sound is encoded already."""

    def __init__(self, model: Whisper) -> None:
        self.device, self.dims = model.device, model.dims
        self.decoder, self.alignment_heads = model.decoder, model.alignment_heads

    def __call__(self, features: Tensor, tokens: Tensor) -> Tensor:
        logits: Tensor = self.decoder(tokens, features)
        return logits


def _last_word(segments: Sequence[Mapping[str, Any]], seconds: float) -> float:
    """Return when the last word ends; `seconds` where there is none, or where going on from it would lead nowhere."""
    ends = [float(word["end"]) for segment in segments for word in segment.get("words", ())]
    return min(ends[-1], seconds) if ends and ends[-1] >= STEP else seconds
