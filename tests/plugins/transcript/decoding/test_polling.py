"""Two languages in one lecture: each window in its own, and a word about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core import Cancelled, Progress, Transcript
from core.testing import fake_context
from plugins.transcript.checkpoint import Notebook
from plugins.transcript.decoding.decoder import Listener
from plugins.transcript.decoding.polling import Poll
from plugins.transcript.language import LanguageVerdict
from plugins.transcript.loading import load as load_model
from plugins.transcript.options import TranscribeOptions
from plugins.transcript.sound.audio import record
from plugins.transcript.sound.vad import find_speech
from plugins.transcript.sound.windows import RATE, Window
from plugins.transcript.weights import Weights

from ..conftest import Transcribe, clip, load, save, silence

ENGLISH, FRENCH = ("en-noisy.mp3", "en-short.wav"), ("fr-noisy.mp3", "fr-short.wav")


@pytest.fixture
def two_languages(tmp_path: Path) -> Path:
    """23 s of English, then 19 s of French."""
    english, french = ([load(clip(name).path) for name in names] for names in (ENGLISH, FRENCH))
    return save(tmp_path / "two.wav", np.concatenate([*english, silence(1), *french]))


def languages(heard: Transcript) -> list[str]:
    """Return in which language each segment is, by when it is said."""
    return [segment.language or heard.language for segment in heard.segments]


def test_each_part_is_written_in_the_language_that_is_spoken(transcribe: Transcribe, two_languages: Path) -> None:
    heard = transcribe(two_languages)

    assert heard.language == "en", "most seconds are"
    assert languages(heard) == ["en" if segment.start < 23.5 else "fr" for segment in heard.segments]
    written = {segment.text for segment in heard.segments}
    assert {"Energy is never created or destroyed.", "Prenons un exemple très simple."} <= written
    (note,) = heard.notes
    assert note.startswith("several languages are spoken")
    assert "English for 16 s, French for 14 s, at 0:00:23 to 0:00:42" in note
    assert list(heard.facts["languages"]) == ["en", "fr"]


def test_a_window_in_two_languages_is_cut_where_the_voice_rests_between_them(checkpoint: Path, tmp_path: Path) -> None:
    """The window's vote is sure, and for English; what follows the pause is not."""
    english, french = load(clip("en-noisy.mp3").path), load(clip("fr-noisy.mp3").path)
    recording = record([english, french, french], tmp_path / "sound.s16")
    seam = len(english) + 5 * RATE
    notebook = Notebook(tmp_path / "kept", {})
    notebook.begin(
        [Window(((0, seam),)), Window(((seam, recording.samples),))],
        find_speech(recording, 0.4, 30.0).spoken,
        LanguageVerdict("en"),
    )
    listener = Listener(load_model(Weights(None, checkpoint), "cpu", 1), TranscribeOptions())

    Poll(listener, recording, notebook).settle([0, 1])

    first, second = ([stretch.language for stretch in notebook.stretches(at)] for at in (0, 1))
    assert (first, second) == (["en", "fr"], ["fr"])
    assert notebook.stretches(0)[0].end == pytest.approx(len(english), abs=RATE)


def test_a_language_that_is_named_is_not_asked_about(transcribe: Transcribe, two_languages: Path) -> None:
    heard = transcribe(two_languages, "en")

    assert set(languages(heard)) == {"en"}
    assert "languages" not in heard.facts


def test_the_translation_has_what_is_said_in_english_as_it_is_said(transcribe: Transcribe, tmp_path: Path) -> None:
    english = load(clip("en-short.wav").path)
    short, opus, noisy = (load(clip(name).path) for name in ("fr-short.wav", "fr-opus.ogg", "fr-noisy.mp3"))
    sound = [short, silence(1), opus, noisy, silence(1), english, english]
    lecture = save(tmp_path / "two.wav", np.concatenate(sound))

    heard = transcribe(lecture, translate=True)

    assert heard.language == "fr"
    spoken = [segment.text for segment in heard.segments if segment.language == "en"]
    assert spoken
    (translation,) = heard.translations
    assert [segment.text for segment in translation.segments][-len(spoken) :] == spoken
    assert [segment.language for segment in translation.segments if segment.language] == []


def test_votes_outlast_a_crash(transcribe: Transcribe, two_languages: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []
    context: Any = fake_context(
        tmp_path / "j",
        two_languages,
        step="transcribe",
        threads=1,
        report=seen.append,
        is_cancelled=lambda: any(not one.doing for one in seen),
    )
    with pytest.raises(Cancelled):
        transcribe(two_languages, context=context, batch_size=1)
    lines = (context.kept / "windows.jsonl").read_text().splitlines()
    (vote,) = [json.loads(line) for line in lines if "vote" in json.loads(line)]
    assert [stretch["language"] for stretch in vote["stretches"]] == ["en"], "the first window's"

    seen.clear()
    heard = None
    while heard is None:
        try:
            heard = transcribe(two_languages, context=context, batch_size=1)
        except Cancelled:
            seen.clear()

    after = (context.kept / "windows.jsonl").read_text().splitlines()
    assert after[: len(lines)] == lines
    assert sum("vote" in json.loads(line) for line in after) == 2, "no window is asked twice"
    assert set(languages(heard)) == {"en", "fr"}
