"""One recording through one recogniser, in a process of its own: what it wrote, and what that cost, as JSON.

    python benchmarks/recogniser.py amphipod|whisper RECORDING WEIGHTS LANGUAGE

Run as a file, so that PYTHONPATH says which checkout of Amphipod is measured.
"""

from __future__ import annotations

import os

os.environ |= {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}

import json
import resource
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import torch
import webvtt
import whisper
from whisper import timing

#: How Esup-Pod 4.1 calls whisper.
POD: dict[str, Any] = {"initial_prompt": "prompt", "word_timestamps": True}


def by_amphipod(recording: Path, weights: Path, language: str) -> dict[str, Any]:
    """Run the whole step and read its WebVTT; words have their times from the transcript."""
    from core.testing import fake_context, fake_job
    from plugins.transcript import weights as kept
    from plugins.transcript.captions.caption_files import write
    from plugins.transcript.engine import transcribe_lecture
    from plugins.transcript.options import TranscribeOptions
    from plugins.transcript.settings import TranscriptSettings

    options = TranscribeOptions(model=str(weights))
    _name_heads(kept.load(kept.weights_for(options, language, TranscriptSettings()), "cpu"), weights)
    with tempfile.TemporaryDirectory() as name:
        context = fake_context(Path(name) / "job", recording, step="transcribe", threads=1)
        heard = transcribe_lecture(fake_job(recording, language=language), recording, options, context)
        (artifact,) = [found for found in write(heard, options, Path(name)) if found.path.endswith(".vtt")]
        cues = webvtt.read(str(Path(name) / artifact.path)).captions
    words = [[word.text, word.start, word.end] for segment in heard.segments for word in segment.words]
    return {
        "text": " ".join(cue.text for cue in cues),
        "words": words,
        "notes": list(heard.notes),
        "facts": dict(heard.facts),
    }


def by_whisper(recording: Path, weights: Path, language: str) -> dict[str, Any]:
    """Call whisper as Esup-Pod does: for each job the weights are read and the sound is decoded."""
    model = whisper.load_model(str(weights), device="cpu")
    _name_heads(model, weights)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = model.transcribe(str(recording), language=language, **POD)
    words = [[word["word"], word["start"], word["end"]] for segment in result["segments"] for word in segment["words"]]
    return {"text": result["text"], "words": words, "notes": [], "facts": {"segments": len(result["segments"])}}


def _name_heads(model: whisper.Whisper, weights: Path) -> None:
    """Set the heads that place words in time, as whisper does for weights that have their official name."""
    if heads := whisper._ALIGNMENT_HEADS.get(weights.stem):
        model.set_alignment_heads(heads)


RECOGNISERS = {"amphipod": by_amphipod, "whisper": by_whisper}


def main(name: str, recording: Path, weights: Path, language: str) -> None:
    torch.set_num_threads(1)
    timing.dtw(torch.randn(8, 60))  # compiled once a process, for all alike
    began = time.process_time()
    found = RECOGNISERS[name](recording, weights, language)
    found["cpu"] = time.process_time() - began
    found["megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
