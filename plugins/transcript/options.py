"""What a job, a setting or a plugin may ask of the transcription and of its captions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _from_text(value: object) -> object:
    """Read JSON where the command line could only give text."""
    if isinstance(value, str) and value.lstrip().startswith(("[", "{")):
        return json.loads(value)
    return value


def _as_list(value: object) -> object:
    value = _from_text(value)
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


#: Which library runs the model; "auto": CTranslate2 where it is installed and has the weights, else torch.
Backend = Literal["auto", "torch", "ctranslate2"]

List = Annotated[tuple[str, ...], BeforeValidator(_as_list)]


class CaptionOptions(BaseModel):
    """How captions look, whichever engine has listened; an engine of your own inherits them into its options.

    Sources: the BBC's Subtitle Guidelines, the Charte relative à la qualité du sous-titrage of the French CSA (2011),
    Netflix's Timed Text Style Guide, Esup-Pod's CAPTIONS_STRICT_ACCESSIBILITY.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    #: Characters a line. 37 is the BBC's and teletext's, 40 Esup-Pod's strict mode and a usual grid of EBU-TT-D, 42
    #: Netflix's.
    line_length: int = Field(default=40, ge=37, le=42)
    #: Lines a caption: two, say the BBC and the French charter, or the picture is hidden.
    lines: int = Field(default=2, ge=1, le=2)
    #: Seconds that a caption stays at least: the BBC counts 0.3 s a word and no less than about a second.
    min_duration: float = Field(default=1.0, ge=0.5, le=2.0)
    #: Seconds that a caption stays at most (Netflix); longer, and it is read twice.
    max_duration: float = Field(default=7.0, ge=4.0, le=10.0)
    #: Characters a second that a reader can follow; kept wherever the speaker leaves the time. 20 is Netflix's; the
    #: French charter asks for 15 (60 characters in four seconds).
    reading_speed: float = Field(default=20.0, ge=8.0, le=30.0)
    #: Frames without a caption between two (Netflix), so that a change is seen.
    gap_frames: int = Field(default=2, ge=0, le=10)
    #: Frames a second that `gap_frames` counts.
    frame_rate: float = Field(default=25.0, ge=10.0, le=120.0)
    #: Files to write; `transcript_<language>` and these endings.
    #: "review" is a page, `transcript_<language>.review.html`, to hear again and correct what is doubtful; it is made
    #: where it is asked for, because what is published is what viewers of a portal can open.
    formats: Annotated[tuple[Literal["vtt", "srt", "json", "txt", "review"], ...], BeforeValidator(_as_list)] = Field(
        default=("vtt", "srt", "json", "txt"), min_length=1
    )
    #: A caption is doubtful that has a word of less confidence; 0: none is.
    review_below: float = Field(default=0.5, ge=0.0, le=1.0)
    #: What is often misheard and what it should be, whole words in any case: `{"soft max": "softmax"}`.
    corrections: Annotated[Mapping[str, str], BeforeValidator(_from_text)] = {}

    @property
    def gap(self) -> float:
        """Seconds between two captions."""
        return self.gap_frames / self.frame_rate


class TranscribeOptions(CaptionOptions):
    """The built-in engine's options and their defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    #: A name (tiny, base, small, medium, turbo, large, ...), a file (.pt, .pt.gz) or a folder that was converted for
    #: CTranslate2. None: what `models` says for the language, else small.
    model: str | None = None
    #: Models by language, in the form of Esup-Pod's TRANSCRIPTION_MODEL_PARAM:
    #: `{"WHISPER": {"fr": {"model": "medium", "download_root": "/srv/models"}}}`; "auto" holds while it isn't known.
    #: None: as the host's settings say.
    models: Annotated[Mapping[str, Any], BeforeValidator(_from_text)] = {}
    #: The library that runs the model: torch (openai-whisper), or ctranslate2, in eight bits on a CPU. "auto": of a
    #: name's weights the converted ones, where they are on the host and CTranslate2 is installed.
    backend: Backend = "auto"
    #: Hypotheses that are followed; 0: 3 with CTranslate2, 1 with torch, where five cost 2.8 times as much.
    beam_size: int = Field(default=0, ge=0, le=10)
    #: Bring the sound to `normalize_target` first (Esup-Pod: TRANSCRIPTION_NORMALIZE); for quiet or uneven recordings.
    normalize: bool = False
    #: LUFS (EBU R 128).
    normalize_target: float = Field(default=-16.0, ge=-40.0, le=-5.0)
    #: Skip what is not speech.
    vad: bool = True
    #: Probability from which a moment counts as speech; lower keeps more.
    vad_threshold: float = Field(default=0.4, gt=0.0, lt=1.0)
    #: Windows decoded at once; 0 means 8, on a GPU 16. Memory grows with it.
    batch_size: int = Field(default=0, ge=0, le=64)
    #: Temperatures for the windows that fail the checks below when decoded greedily, in this order.
    fallback_temperatures: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (0.2, 0.4, 0.6, 0.8, 1.0)
    #: Whisper's checks: a text that compresses better than this is a repetition, ...
    compression_ratio_threshold: float | None = 2.4
    #: ... one whose mean log probability is lower is a guess, ...
    logprob_threshold: float | None = -1.0
    #: ... and a guess where silence is likelier than this is silence.
    no_speech_threshold: float | None = 0.6
    #: Show a window the text of the one before. Keeps names alike but spreads errors, and ends batching.
    condition_on_previous_text: bool = False
    #: Names and terms that the lecture uses, shown to the model before each window.
    glossary: List = ()
    #: Also write captions in English.
    translate: bool = False
    #: Windows that elect the lecture's language when it is "auto"; it serves where a window isn't sure of its own.
    language_votes: int = Field(default=5, ge=1, le=50)
