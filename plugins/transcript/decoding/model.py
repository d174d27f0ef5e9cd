"""What a model of Whisper's family does, whichever library runs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from whisper.tokenizer import Tokenizer

    from plugins.transcript.sound.mel import Floats


@dataclass(frozen=True)
class Request:
    """What windows are decoded for, and how."""

    #: Of the language and the task.
    tokenizer: Tokenizer
    temperature: float
    #: Hypotheses that are followed at temperature 0; 1: the likeliest token is taken each time.
    beam_size: int = 1
    #: Tokens shown to the model before its own.
    prompt: Sequence[int] = ()


@dataclass(frozen=True)
class Decoding:
    """One decoding of one window: text and time stamps as tokens, and how sure the model is of them."""

    tokens: Sequence[int]
    temperature: float
    #: Mean natural logarithm of the tokens' probabilities.
    avg_logprob: float
    no_speech_prob: float
    #: Of the text, by zlib: repetitions compress well.
    compression_ratio: float


@dataclass
class WordTiming:
    """A word of a window, in its seconds; whisper/timing.py."""

    word: str
    tokens: list[int]
    start: float
    end: float
    probability: float


class SpeechModel(Protocol):
    """Loaded weights. What `encode` returns is the model's own affair, and goes back into the other methods."""

    #: As facts say it: library and precision.
    name: str
    #: "cpu" or "cuda".
    device: str
    is_multilingual: bool
    num_languages: int
    #: Bands of the mel spectrogram.
    mels: int
    #: Tokens that the decoder can see, its own included.
    text_context: int
    #: Hypotheses that are followed where a job doesn't say.
    beam_size: int

    def encode(self, mel: Floats) -> Any:
        """Hear one window; `mel` is mels x 3000."""

    def languages(self, features: Any) -> dict[str, float]:
        """Return how likely each language is."""

    def decode(self, windows: Sequence[Any], request: Request) -> list[Decoding]:
        """Write down what is said in each window."""

    def align(self, features: Any, tokens: Sequence[int], tokenizer: Tokenizer, frames: int) -> list[WordTiming]:
        """Find each word of a window's text tokens in its sound, of which so many frames (10 ms) are no padding."""
