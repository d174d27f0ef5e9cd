"""Transcription with faster-whisper, from a converted folder on this host."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from core import Access, BadSource, Context, Job, Permanent, Segment, Transcript, Word, hookimpl
from plugins.transcript.options import CaptionOptions

if TYPE_CHECKING:
    from faster_whisper import WhisperModel
    from pydantic import BaseModel


class Options(CaptionOptions):
    """What a job may ask of this engine, and of its captions."""

    folder: Path = Field(description="model converted by convert.py")
    beam_size: int = Field(default=1, ge=1, le=10)


@hookimpl
def options_schema(step: str) -> type[BaseModel] | None:
    return Options if step == "transcribe" else None


@hookimpl
def child_access(step: str, options: Mapping[str, Any]) -> Access | None:
    return Access(read=(options["folder"],)) if step == "transcribe" else None


@hookimpl
def transcribe(job: Job, audio: Path, options: Mapping[str, Any], context: Context) -> Transcript:
    from av.error import FFmpegError

    from plugins.transcript.captions.typography import whole_words

    model = _model(str(options["folder"]), context.threads or len(os.sched_getaffinity(0)))
    try:
        segments, info = model.transcribe(
            str(audio),
            language=None if job.language == "auto" else job.language.split("-")[0],
            beam_size=options["beam_size"],
            condition_on_previous_text=False,
            word_timestamps=True,
            vad_filter=True,
        )
        heard = []
        for segment in segments:
            context.raise_if_cancelled()
            parts = [Word(text=w.word, start=w.start, end=w.end, confidence=w.probability) for w in segment.words or ()]
            words = tuple(whole_words(parts, info.language))
            heard.append(Segment(text=segment.text.strip(), start=segment.start, end=segment.end, words=words))
            context.progress(segment.end, info.duration)
    except FFmpegError as error:
        raise BadSource(f"{audio.name} can't be heard: {error.strerror}", remedy="upload it again") from error
    probability = {} if job.language != "auto" else {"language_probability": round(info.language_probability, 4)}
    return Transcript(language=info.language, segments=tuple(heard), facts={"duration": info.duration, **probability})


@lru_cache(maxsize=1)
def _model(folder: str, threads: int) -> WhisperModel:
    """Load the model once: the process of `transcribe` is kept between jobs."""
    from faster_whisper import WhisperModel

    for name in ("model.bin", "tokenizer.json"):
        if not Path(folder, name).is_file():
            raise Permanent(f"no {name} in {folder}", remedy="make the folder with convert.py")
    return WhisperModel(folder, device="cpu", compute_type="int8", cpu_threads=threads, local_files_only=True)
