"""One lecture from sound to transcript, in the order in which things become known."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import Segment, Transcript, Word
from core.errors import BadCall
from plugins.transcript import weights
from plugins.transcript.audio import Recording, gain_for, iter_audio, record
from plugins.transcript.language import Verdict, elect, known, spread_evenly
from plugins.transcript.listening import Listener
from plugins.transcript.notebook import Notebook, from_json, to_json
from plugins.transcript.speech import find_speech
from plugins.transcript.typography import whole_words
from plugins.transcript.windows import LENGTH, RATE, Window, pack

if TYPE_CHECKING:
    from core import Context, Job
    from plugins.transcript.listening import Heard, Sound
    from plugins.transcript.options import TranscribeOptions

#: Windows decoded at once on a CPU and on a GPU.
_BATCH = {"cpu": 8, "cuda": 16}


def transcribe_lecture(job: Job, audio: Path, options: TranscribeOptions, context: Context) -> Transcript:
    """Write down what is said in a media file.

    :raises BadSource: it has no sound, or none that can be decoded.
    :raises BadCall: whisper does not know the job's language.
    :raises Permanent: the model is not on this host.
    """
    asked = "auto" if job.language == "auto" else known(job.language)
    device = _prepare(context.threads)
    listener = Listener(weights.load(weights.weights_for(options, asked), device), options)
    recording = _record(audio, options, context)
    notebook = Notebook(context.kept, _key(audio, asked, options))
    if notebook.windows is None:
        _survey(recording, asked, listener, notebook)
    assert notebook.windows is not None
    assert notebook.verdict is not None
    if not notebook.windows:
        return _silent(notebook.verdict, asked, recording)
    language = notebook.verdict.language
    listener.model = weights.load(weights.weights_for(options, language), device)
    listener.language = language if listener.model.is_multilingual else None
    if listener.language is None and language != "en":
        raise BadCall(
            f"the model knows only English, and {language} is spoken", remedy="name one without .en", step="transcribe"
        )
    resumed = len(notebook.done)
    _listen(listener, recording, notebook, context)
    return _transcript(notebook, options, recording, resumed)


def _prepare(threads: int) -> str:
    """Tell torch how many threads it may keep busy, and return the device to work on."""
    import torch

    # More threads than free cores are slower than fewer; silero_vad sets 1 when it is imported, so this comes after.
    torch.set_num_threads(threads or _cores())
    return "cuda" if torch.cuda.is_available() else "cpu"


def _cores() -> int:
    """Count the cores that this process may use, a container's share (cgroup v2, cpu.max) included."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return max(1, min(cores, int(quota) // int(period)))
    except (OSError, ValueError):  # no such file, or "max"
        return cores


def _record(audio: Path, options: TranscribeOptions, context: Context) -> Recording:
    """Decode the sound into the attempt's folder, once, brought to its loudness if that was asked for."""
    gain = gain_for(audio, options.normalize_target) if options.normalize else None
    return record(iter_audio(audio, gain), context.workdir / "sound.s16")


def _key(audio: Path, asked: str, options: TranscribeOptions) -> Mapping[str, Any]:
    """Return what a crashed attempt's notes must agree with."""
    return {
        "audio": audio.name,
        "size": audio.stat().st_size,
        "asked": asked,
        "options": options.model_dump(mode="json"),
    }


def _survey(recording: Recording, asked: str, listener: Listener, notebook: Notebook) -> None:
    """Find out where somebody speaks, and which language."""
    longest = LENGTH / RATE
    regions = (
        find_speech(recording, listener.options.vad_threshold, longest)
        if listener.options.vad
        else [(0, recording.samples)]
    )
    windows = pack(regions)
    verdict = Verdict(asked)
    if asked == "auto":
        verdict = _detect(recording, windows, listener) if windows else Verdict("und")
    notebook.begin(windows, verdict)


def _detect(recording: Recording, windows: Sequence[Window], listener: Listener) -> Verdict:
    if not listener.model.is_multilingual:
        return Verdict("en")
    chosen = spread_evenly(len(windows), listener.options.language_votes)
    return elect([listener.languages(_encode(listener, recording, windows[at])) for at in chosen])


def _encode(listener: Listener, recording: Recording, window: Window) -> Sound:
    import numpy as np

    return listener.encode(np.concatenate([recording.read(start, end) for start, end in window.spans]))


def _listen(listener: Listener, recording: Recording, notebook: Notebook, context: Context) -> None:
    """Decode the windows that are not done yet, batch by batch, and note down each batch."""
    options, windows = listener.options, notebook.windows or []
    size = 1 if options.condition_on_previous_text else options.batch_size or _BATCH[listener.model.device.type]
    tokenizer, spoken = listener.tokenizer(), listener.language or "en"
    glossary = tokenizer.encode(f" {', '.join(options.glossary)}.") if options.glossary else []
    total = sum(window.seconds for window in windows)
    for batch in _batches([at for at in range(len(windows)) if at not in notebook.done], size):
        context.raise_if_cancelled()
        before = notebook.done.get(batch[0] - 1, {}).get("tokens", []) if options.condition_on_previous_text else []
        prompt = [*glossary, *(token for token in before if token < tokenizer.eot)]
        sounds = [_encode(listener, recording, windows[at]) for at in batch]
        heard = listener.decode(sounds, "transcribe", prompt)
        translated: Sequence[Heard | None] = [None] * len(batch)
        if options.translate and spoken != "en":
            translated = listener.decode(sounds, "translate")
        notebook.add(
            {
                at: {
                    "segments": to_json(_on_lecture_clock(said, windows[at], spoken)),
                    "translation": to_json(_on_lecture_clock(english, windows[at], "en")) if english else [],
                    "tokens": said.tokens,
                    "temperature": said.temperature,
                }
                for at, said, english in zip(batch, heard, translated, strict=True)
            }
        )
        context.progress(sum(windows[at].seconds for at in notebook.done), total)


def _batches(numbers: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for first in range(0, len(numbers), size):
        yield numbers[first : first + size]


def _on_lecture_clock(heard: Heard, window: Window, language: str) -> list[Segment]:
    segments = []
    for segment in heard.segments:
        parts = [_word(word, window) for word in segment.get("words", ())]
        words = whole_words(parts, language)
        if words:
            start, end = words[0].start, max(word.end for word in words)
        else:
            start, end = (round(moment, 3) for moment in window.to_lecture(segment["start"], segment["end"]))
        segments.append(Segment(text=segment["text"].strip(), start=start, end=end, words=tuple(words)))
    return segments


def _word(word: Mapping[str, Any], window: Window) -> Word:
    start, end = window.to_lecture(word["start"], word["end"])
    sure = round(float(word["probability"]), 4)
    return Word(text=word["word"], start=round(start, 3), end=round(end, 3), confidence=sure)


def _silent(verdict: Verdict, asked: str, recording: Recording) -> Transcript:
    return Transcript(
        language=verdict.language if asked == "auto" else asked,
        segments=(),
        notes=("nobody speaks in this recording, so its captions are empty",),
        facts={"duration": round(recording.seconds, 3), "speech_seconds": 0.0},
    )


def _transcript(notebook: Notebook, options: TranscribeOptions, recording: Recording, resumed: int) -> Transcript:
    windows, verdict = notebook.windows or [], notebook.verdict
    assert verdict is not None
    results = [notebook.done[at] for at in range(len(windows))]
    segments = [segment for result in results for segment in from_json(result["segments"])]
    english = [segment for result in results for segment in from_json(result["translation"])]
    facts: dict[str, Any] = {
        "duration": round(recording.seconds, 3),
        "speech_seconds": round(sum(window.seconds for window in windows), 3),
        "windows": len(windows),
        "windows_resumed": resumed,
        "windows_decoded_again": sum(result["temperature"] > 0 for result in results),
        "tokens": sum(len(result["tokens"]) for result in results),
    }
    if verdict.probability is not None:
        facts |= {
            "language_probability": verdict.probability,
            "language_alternatives": dict(verdict.alternatives or {}),
        }
    notes = [] if segments else ["there is speech in this recording, but no words were made out"]
    if options.translate and verdict.language == "en":
        notes.append("English is spoken, so there is nothing to translate")
    translations = (
        (Transcript(language="en", segments=tuple(english), translated_from=verdict.language),) if english else ()
    )
    return Transcript(
        language=verdict.language, segments=tuple(segments), notes=tuple(notes), facts=facts, translations=translations
    )
