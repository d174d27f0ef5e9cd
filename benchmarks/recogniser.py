"""One recording through one recogniser, in a process of its own: what it wrote, and what that cost, as JSON.

    python benchmarks/recogniser.py NAME RECORDING FOLDER LANGUAGE

NAME is one of `RECOGNISERS`; FOLDER holds base.pt and base-ct2. Run as a file, so that PYTHONPATH says which checkout
of Amphipod is measured.
"""

from __future__ import annotations

import os

os.environ |= {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}

import json
import re
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import webvtt

#: How Esup-Pod 4.1 calls whisper, and what whisper's command adds to its function's defaults (whisper/transcribe.py).
POD: dict[str, Any] = {"initial_prompt": "prompt", "word_timestamps": True}
COMMAND: dict[str, Any] = {
    "beam_size": 5,
    "best_of": 5,
    "temperature": (0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
    "word_timestamps": True,
}

Found = dict[str, Any]


def by_amphipod(recording: Path, model: Path, language: str) -> Found:
    """Run the whole step and read its WebVTT; words have their times from the transcript."""
    from core.testing import fake_context, fake_job
    from plugins.transcript.captions.caption_files import write
    from plugins.transcript.engine import transcribe_lecture
    from plugins.transcript.options import TranscribeOptions

    options = TranscribeOptions(model=str(model))
    with tempfile.TemporaryDirectory() as name:
        context = fake_context(Path(name) / "job", recording, step="transcribe", threads=1)
        heard = transcribe_lecture(fake_job(recording, language=language), recording, options, context)
        (artifact,) = [found for found in write(heard, options, Path(name)) if found.path.endswith(".vtt")]
        cues = webvtt.read(str(Path(name) / artifact.path)).captions
    return {
        "words": [[word.text, word.start, word.end] for segment in heard.segments for word in segment.words],
        "cues": [[_seconds(cue.start), _seconds(cue.end), *cue.lines] for cue in cues],
        "notes": list(heard.notes),
    }


def _seconds(clock: str) -> float:
    hours, minutes, seconds = clock.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def by_whisper(recording: Path, model: Path, language: str, *, how: Mapping[str, Any]) -> Found:
    """Call whisper as others do: for each job the weights are read and the sound is decoded."""
    import whisper

    loaded = whisper.load_model(str(model), device="cpu")
    loaded.set_alignment_heads(whisper._ALIGNMENT_HEADS[model.stem])  # as it has them for weights that have a name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = loaded.transcribe(str(recording), language=language, **how)
    segments = result["segments"]
    words = [[word["word"], word["start"], word["end"]] for segment in segments for word in segment["words"]]
    return {"words": words, "cues": [[one["start"], one["end"], one["text"].strip()] for one in segments], "notes": []}


def by_faster_whisper(recording: Path, model: Path, language: str, *, batched: bool) -> Found:
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    loaded = WhisperModel(str(model), device="cpu", compute_type="int8", cpu_threads=1, local_files_only=True)
    how: dict[str, Any] = {"language": language, "beam_size": 5, "vad_filter": True, "word_timestamps": True}
    if batched:
        found, _ = BatchedInferencePipeline(model=loaded).transcribe(str(recording), batch_size=8, **how)
    else:
        found, _ = loaded.transcribe(str(recording), **how)
    segments: Iterable[Any] = list(found)
    words = [[word.word, word.start, word.end] for segment in segments for word in segment.words]
    return {"words": words, "cues": [[one.start, one.end, one.text.strip()] for one in segments], "notes": []}


#: By name: which form of the weights, and what is done with it.
RECOGNISERS: Mapping[str, tuple[str, Callable[[Path, Path, str], Found]]] = {
    "Amphipod, float32": ("base.pt", by_amphipod),
    "Amphipod, CTranslate2 int8": ("base-ct2", by_amphipod),
    "whisper as Esup-Pod calls it": ("base.pt", partial(by_whisper, how=POD)),
    "whisper's command": ("base.pt", partial(by_whisper, how=COMMAND)),
    "faster-whisper int8, beam 5": ("base-ct2", partial(by_faster_whisper, batched=False)),
    "faster-whisper int8, batched": ("base-ct2", partial(by_faster_whisper, batched=True)),
}


def main(name: str, recording: Path, folder: Path, language: str) -> None:
    form, recognise = RECOGNISERS[name]
    if form == "base.pt":
        import torch
        from whisper import timing

        torch.set_num_threads(1)
        timing.dtw(torch.randn(8, 60))  # compiled once a process, for all alike
    began, wall = time.process_time(), time.monotonic()
    found = recognise(recording, folder / form, language)
    found |= {"cpu": time.process_time() - began, "wall": time.monotonic() - wall}
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert peak
    json.dump({**found, "megabytes": int(peak[1]) / 1024}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
