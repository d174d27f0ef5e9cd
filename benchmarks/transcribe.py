"""What a transcription costs: openai-whisper as Esup-Pod calls it, against Amphipod on the same sound in the same run.

    make bench-transcribe [ARGS='--seconds 300 --json FILE']

With a recording whose words are known, and real weights: [real_speech.py](real_speech.py). Without:

CPU seconds of one thread. The sound is speech with 40 % silence. The model has the dimensions of the official `base`
and random weights: what it says is noise, but each token costs what it costs. All decoders write the same number of
tokens in all, `TOKENS` for each second of speech; where silence is skipped, fewer windows have more tokens each.
Whisper's checks are off for both, because noise would fail them: how often real speech is decoded again is not measured
here. Amphipod's own figure is that of the whole step: sound decoded, silence found, notes kept.
"""

from __future__ import annotations

import os

os.environ |= {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}

import argparse
import gzip
import json
import random
import subprocess
import sys
import tempfile
import time
import warnings
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import whisper
from numpy.typing import NDArray
from whisper import decoding, timing
from whisper.decoding import SuppressTokens
from whisper.model import ModelDimensions, Whisper

from benchmarks.real_speech import compare
from core.testing import fake_context, fake_job
from plugins.transcript.engine import transcribe_lecture
from plugins.transcript.options import TranscribeOptions
from plugins.transcript.sound.audio import iter_audio

ROOT = Path(__file__).parents[1]
DATA = ROOT / "tests/data"
RATE = 16_000

#: Tokens for a second of speech: 2.5 words, 1.4 tokens each, and the punctuation.
TOKENS = 4.0

AS_IT_IS = "  and batches of 8: as it is"

BASE = ModelDimensions(80, 1500, 512, 8, 6, 51_865, 448, 512, 8, 6)

#: As Esup-Pod 4.1 calls it.
POD = {"language": "fr", "initial_prompt": "prompt", "word_timestamps": True}
NO_CHECKS: dict[str, Any] = {"compression_ratio_threshold": None, "logprob_threshold": None}


@dataclass
class Run:
    """What one way of transcribing cost, in CPU seconds, and what it did."""

    name: str
    total: float = 0.0
    parts: dict[str, float] = field(default_factory=dict)
    windows: int = 0
    tokens: int = 0
    #: As Pod does it, weights are read for each job; Amphipod keeps them.
    load: float = 0.0

    def line(self, reference: Run) -> str:
        parts = ", ".join(f"{name} {seconds:.1f}" for name, seconds in self.parts.items())
        each = self.tokens / max(self.windows, 1)
        ratio = (self.total + self.load) / (reference.total + reference.load)
        return f"{self.name:<44}{self.total:>7.1f}{self.load:>6.1f}{ratio:>7.2f}{self.windows:>9}{each:>8.0f}   {parts}"


@contextmanager
def metered(run: Run, tokens: Callable[[], int]) -> Iterator[None]:
    """Count windows and tokens, time the parts, and fix how many tokens each decoding writes."""
    clock = time.process_time
    encode, loop, align, make = (
        whisper.model.AudioEncoder.forward,
        decoding.DecodingTask._main_loop,
        timing.find_alignment,
        decoding.DecodingTask.__init__,
    )

    def timed(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            began, inside = clock(), sum(run.parts.values())
            try:
                return function(*arguments, **keywords)
            finally:
                nested = sum(run.parts.values()) - inside
                run.parts[part] = run.parts.get(part, 0.0) + clock() - began - nested

        return call

    def fixed(task: Any, model: Whisper, options: Any) -> None:
        make(task, model, replace(options, without_timestamps=True))
        task.sample_len = tokens()
        # Noise would write a language or a timestamp: only text counts, and is looked for in the sound afterwards.
        task.logit_filters.append(SuppressTokens(range(task.tokenizer.eot, model.dims.n_vocab)))

    def counted(task: Any, features: Any, start: Any) -> Any:
        run.windows += features.shape[0]
        run.tokens += features.shape[0] * task.sample_len
        return loop(task, features, start)

    # With word times, whisper goes on where the last word ends, which in noise is anywhere: here it goes on where the
    # window ends, so that it decodes no more windows than the sound has.
    loop_over_windows: Any = sys.modules["whisper.transcribe"]
    find_end = loop_over_windows.get_end
    loop_over_windows.get_end = lambda segments: None
    whisper.model.AudioEncoder.forward = timed("encoder", encode)
    decoding.DecodingTask._main_loop = timed("decoder", counted)
    timing.find_alignment = timed("words", align)
    decoding.DecodingTask.__init__ = fixed
    began = clock()
    try:
        yield
    finally:
        run.total = clock() - began
        run.parts["rest"] = run.total - sum(run.parts.values())
        whisper.model.AudioEncoder.forward = encode
        decoding.DecodingTask._main_loop = loop
        timing.find_alignment = align
        decoding.DecodingTask.__init__ = make
        loop_over_windows.get_end = find_end


def lecture(seconds: float, path: Path) -> float:
    """Write speech of 4 to 24 s, each followed by a pause of two thirds. Returns the seconds of speech."""
    rng, noise = random.Random(6), np.random.default_rng(6)
    clips = [np.concatenate(list(iter_audio(DATA / name))) for name in ("fr-noisy.mp3", "fr-opus.ogg", "fr-short.wav")]
    voice = np.concatenate([clip[np.abs(clip) > 0][int(0.4 * RATE) : -int(0.4 * RATE)] for clip in clips] * 40)
    pieces: list[NDArray[np.float32]] = []
    spoken = at = 0
    while sum(len(piece) for piece in pieces) < seconds * RATE:
        length = round(rng.uniform(4, 24) * RATE)
        pieces.append(voice[at : at + length])
        at, spoken = at + length, spoken + length
        pause = length * 2 // 3
        pieces.append((0.0005 * noise.standard_normal(pause)).astype(np.float32))
    sound = np.concatenate(pieces)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes((np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())
    return spoken / RATE


def plain(name: str, sound: NDArray[np.float32], checkpoint: Path, spoken: float, **arguments: Any) -> Run:
    """Run whisper.transcribe, weights loaded first."""
    run = Run(name)
    began = time.process_time()
    model = whisper.load_model(str(checkpoint), device="cpu")
    run.load = time.process_time() - began
    windows = -(-len(sound) // (30 * RATE))
    with metered(run, lambda: round(TOKENS * spoken / windows)), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.transcribe(sound, temperature=0.0, **POD | NO_CHECKS | arguments)
    return run


def ours(name: str, path: Path, checkpoint: Path, spoken: float, **arguments: Any) -> Run:
    """Run the whole step, the model kept from the job before."""
    options = TranscribeOptions(model=str(checkpoint), fallback_temperatures=(), **NO_CHECKS | arguments)
    windows = -1
    for _ in range(2):  # the first tells how many windows there are, and loads what is kept
        run = Run(name)
        share = windows
        with (
            tempfile.TemporaryDirectory() as folder,
            metered(run, lambda share=share: round(TOKENS * spoken / share) if share > 0 else 1),  # type: ignore[misc]
        ):
            context = fake_context(Path(folder) / "job", path, step="transcribe", threads=1)
            windows = transcribe_lecture(fake_job(path, language="fr"), path, options, context).facts["windows"]
    return run


def faster_whisper(path: Path, checkpoint: Path, spoken: float, scratch: Path) -> Run:
    """Run the example's engine, int8, by its own way through the sound."""
    example = ROOT / "examples/faster_whisper_engine"
    subprocess.run([sys.executable, example / "convert.py", checkpoint, scratch / "ct2"], check=True)
    from faster_whisper import WhisperModel

    run = Run("faster-whisper int8, silence skipped")
    model = WhisperModel(str(scratch / "ct2"), device="cpu", compute_type="int8", cpu_threads=1, local_files_only=True)
    began = time.process_time()
    windows = -(-round(spoken * 1.1) // 30)
    segments, _ = model.transcribe(
        str(path),
        language="fr",
        beam_size=1,
        temperature=0.0,
        word_timestamps=True,
        vad_filter=True,
        condition_on_previous_text=False,
        without_timestamps=True,
        max_new_tokens=round(TOKENS * spoken / windows),
        suppress_tokens=[-1, *range(50_257, BASE.n_vocab)],
        log_prob_threshold=None,
        compression_ratio_threshold=None,
    )
    heard = list(segments)
    run.total = time.process_time() - began
    run.windows, run.tokens = len({segment.seek for segment in heard}), sum(len(segment.tokens) for segment in heard)
    return run


def same_words(scratch: Path) -> dict[str, Any]:
    """Compare what both hear with the small checkpoint, which knows the demo's sentences."""
    checkpoint = scratch / "micro.pt"
    checkpoint.write_bytes(gzip.decompress((DATA / "micro-whisper.pt.gz").read_bytes()))
    path = ROOT / "examples/demo/lecture.mp4"
    sound = np.concatenate(list(iter_audio(path)))
    model = whisper.load_model(str(checkpoint), device="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = model.transcribe(sound, language="en", word_timestamps=True, condition_on_previous_text=False)["text"]
        pod = model.transcribe(sound, **POD | {"language": "en"})["text"]
    context = fake_context(scratch / "words", path, step="transcribe", threads=1)
    heard = transcribe_lecture(fake_job(path, language="en"), path, TranscribeOptions(model=str(checkpoint)), context)
    text = " ".join(segment.text for segment in heard.segments)
    truth = json.loads((DATA / "truth.json").read_text())["en-long.mp4"]["segments"]
    return {
        "as plain whisper without the previous text": text == theirs.strip(),
        "as the truth": text == " ".join(segment["text"] for segment in truth),
        "Pod's arguments as the truth": pod.strip() == " ".join(segment["text"] for segment in truth),
    }


def _ways(path: Path, sound: NDArray[np.float32], checkpoint: Path, spoken: float, scratch: Path) -> Iterator[Run]:
    yield plain("openai-whisper as Esup-Pod calls it", sound, checkpoint, spoken)
    yield plain("  without the previous text", sound, checkpoint, spoken, condition_on_previous_text=False)
    yield plain("  without word times", sound, checkpoint, spoken, word_timestamps=False)
    yield ours("Amphipod, window after window", path, checkpoint, spoken, vad=False, batch_size=1)
    yield ours("  and silence skipped", path, checkpoint, spoken, batch_size=1)
    yield ours(AS_IT_IS, path, checkpoint, spoken)
    try:
        yield faster_whisper(path, checkpoint, spoken, scratch)
    except ImportError:
        print("faster-whisper is not installed: its entry is left out")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--weights", type=Path, help="weights in OpenAI's format, under their official name (base.pt)")
    parser.add_argument("--recording", type=Path, help="real speech; its truth beside it")
    parser.add_argument("--language", default="en", help="of the recording")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--before", type=Path, help="an older checkout of Amphipod to compare with")
    chosen = parser.parse_args()
    if chosen.recording:
        if not chosen.weights:
            parser.error("--recording needs --weights")
        compare(chosen.recording, chosen.weights, chosen.language, chosen.rounds, chosen.before)
        return
    torch.set_num_threads(1)
    torch.manual_seed(6)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        path, checkpoint = scratch / "lecture.wav", scratch / "base.pt"
        spoken = lecture(chosen.seconds, path)
        sound = np.concatenate(list(iter_audio(path)))
        state = Whisper(BASE).state_dict()
        torch.save(
            {"dims": vars(BASE), "model_state_dict": {key: value.half() for key, value in state.items()}}, checkpoint
        )
        timing.dtw(torch.randn(8, 60))  # compiled once a process, for all alike
        speech = len(sound) / RATE
        print(f"{speech:.0f} s of sound, {spoken:.0f} s of it speech, {TOKENS * spoken:.0f} tokens; CPU seconds")
        print(f"{'':<44}{'CPU':>7}{'load':>6}{'ratio':>7}{'windows':>9}{'tokens':>8}   parts")
        runs: list[Run] = []
        for run in _ways(path, sound, checkpoint, spoken, scratch):
            runs.append(run)
            print(run.line(runs[0]), flush=True)
        words = same_words(scratch)
    pod, us = runs[0], next(run for run in runs if run.name == AS_IT_IS)
    print(f"ratio {us.total / (pod.total + pod.load):.2f}; {us.total / pod.total:.2f} when Pod's load is not counted")
    print(
        "the small checkpoint's words:", ", ".join(f"{name}: {'yes' if same else 'no'}" for name, same in words.items())
    )
    if chosen.json:
        chosen.json.write_text(json.dumps({"runs": [vars(run) for run in runs], "words": words}, indent=2))


if __name__ == "__main__":
    main()
