"""What is heard in windows: batches decoded, the doubtful ones again and hotter, words placed in time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from plugins.transcript.decoding.fallback import best, is_doubtful, is_silence
from plugins.transcript.decoding.model import Request
from plugins.transcript.decoding.timestamps import STEP, read
from plugins.transcript.decoding.word_times import place_words
from plugins.transcript.sound.mel import HOP, log_mel
from plugins.transcript.sound.windows import RATE
from plugins.transcript.tokenizer import tokenizer_of

if TYPE_CHECKING:
    from whisper.tokenizer import Tokenizer

    from plugins.transcript.decoding.model import Decoding, SpeechModel
    from plugins.transcript.options import TranscribeOptions
    from plugins.transcript.sound.audio import Samples


@dataclass(frozen=True)
class SpeechSound:
    """A window as the encoder has heard it; `frames` of its mel spectrogram are sound, the rest is padding."""

    features: Any
    frames: int


@dataclass(frozen=True)
class Heard:
    """What was said in one window, in its own seconds: dictionaries as whisper makes them."""

    segments: list[dict[str, Any]]
    tokens: list[int]
    temperature: float
    #: Second up to which the window is heard; what follows has to be encoded and decoded again.
    until: float
    #: Second from which that is done where a sentence was cut: what was heard behind it doesn't count then.
    again: float | None = None
    #: Second from which on nobody speaks, says the model.
    silent: float | None = None
    #: How often it was decoded: more than once where it failed a check.
    tries: int = 1
    #: Whether every temperature made a repetition of it, so that nothing is kept.
    is_given_up: bool = False


@dataclass
class Listener:
    """A model with what a job asks of it. `language` is whisper's code, None for a model that knows only English."""

    model: SpeechModel
    options: TranscribeOptions
    language: str | None = None

    def encode(self, samples: Samples) -> SpeechSound:
        """Hear one window."""
        mel, frames = log_mel(samples, self.model.mels)
        return SpeechSound(self.model.encode(mel), frames)

    def languages(self, sound: SpeechSound) -> dict[str, float]:
        """Return how likely each language is."""
        return self.model.languages(sound.features)

    def decode(self, sounds: Sequence[SpeechSound], task: str, prompt: Sequence[int] = ()) -> list[Heard]:
        """Write down what is said in each window; words get times unless they are a translation."""
        tokenizer = self.tokenizer(task)
        beam_size = self.options.beam_size or self.model.beam_size
        tried: list[list[Decoding]] = [[] for _ in sounds]
        for temperature in (0.0, *self.options.fallback_temperatures):
            doubtful = [at for at, results in enumerate(tried) if not results or is_doubtful(results[-1], self.options)]
            if not doubtful:
                break
            request = Request(tokenizer, temperature, beam_size, prompt)
            decoded = self.model.decode([sounds[at].features for at in doubtful], request)
            for at, result in zip(doubtful, decoded, strict=True):
                tried[at].append(result)
        return [
            replace(self._heard(sound, best(results, self.options), tokenizer, task), tries=len(results))
            for sound, results in zip(sounds, tried, strict=True)
        ]

    def tokenizer(self, task: str = "transcribe") -> Tokenizer:
        return tokenizer_of(
            multilingual=self.model.is_multilingual,
            languages=self.model.num_languages,
            language=self.language or "en",
            task=task,
        )

    def _heard(self, sound: SpeechSound, result: Decoding | None, tokenizer: Tokenizer, task: str) -> Heard:
        seconds = sound.frames * HOP / RATE
        if result is None:
            return Heard([], [], 0.0, seconds, is_given_up=True)
        if is_silence(result, self.options):
            return Heard([], list(result.tokens), result.temperature, seconds)
        reading = read(result.tokens, tokenizer, seconds)
        if reading.segments and task == "transcribe":
            place_words(
                reading.segments,
                tokenizer,
                lambda tokens: self.model.align(sound.features, tokens, tokenizer, sound.frames),
            )
        until = _last_word(reading.segments, seconds) if reading.heard is None else reading.heard
        return Heard(reading.segments, reading.tokens, result.temperature, until, reading.again, reading.silent)


def _last_word(segments: Sequence[Mapping[str, Any]], seconds: float) -> float:
    """Return when the last word ends; `seconds` where there is none, or where going on from it would lead nowhere."""
    ends = [float(word["end"]) for segment in segments for word in segment.get("words", ())]
    return min(ends[-1], seconds) if ends and ends[-1] >= STEP else seconds
