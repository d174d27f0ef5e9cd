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

ENGLISH, FRENCH = ("en-short.wav", "en-noisy.mp3"), ("fr-noisy.mp3", "fr-short.wav")


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

    spoken = [(segment.language or heard.language, segment.text) for segment in heard.segments]
    assert ("en", "Energy is never created or destroyed.") in spoken
    assert ("fr", "Prenons un exemple très simple.") in spoken
    assert any(note.startswith("several languages are spoken, and each has captions") for note in heard.notes)
    assert set(heard.facts["languages"]) == {"en", "fr"}
    assert next(iter(heard.facts["languages"])) == heard.language, "most seconds are"


def test_a_window_in_two_languages_is_cut_where_the_voice_rests_between_them(checkpoint: Path, tmp_path: Path) -> None:
    """The window's vote is sure, and for English: its pieces are asked, too."""
    english, french = load(clip("en-noisy.mp3").path), load(clip("fr-noisy.mp3").path)
    recording = record([english, french[: 6 * RATE]], tmp_path / "sound.s16")
    notebook = Notebook(tmp_path / "kept", {})
    spoken = find_speech(recording, 0.4, 30.0).spoken
    notebook.begin([Window(((0, recording.samples),))], spoken, LanguageVerdict("en"))
    listener = Listener(load_model(Weights(None, checkpoint), 1), TranscribeOptions())

    Poll(listener, recording, notebook).settle([(0, 0)])

    assert [stretch.language for stretch in notebook.votes[0, 0].stretches] == ["en", "fr"]
    assert notebook.stretch(0, 0).end == pytest.approx(len(english), abs=RATE)


@pytest.mark.long
def test_a_language_that_is_named_is_not_asked_about(transcribe: Transcribe, two_languages: Path) -> None:
    heard = transcribe(two_languages, "en")

    assert set(languages(heard)) == {"en"}
    assert "languages" not in heard.facts


@pytest.mark.long
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


@pytest.mark.long
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
    assert ["vote" in json.loads(line) for line in lines] == [False, True, False], "it is asked before it is heard"

    seen.clear()
    heard = None
    while heard is None:
        try:
            heard = transcribe(two_languages, context=context, batch_size=1)
        except Cancelled:
            seen.clear()

    after = (context.kept / "windows.jsonl").read_text().splitlines()
    assert after[: len(lines)] == lines
    votes = [json.loads(line) for line in after if "vote" in json.loads(line)]
    assert len({(vote["lane"], vote["start"]) for vote in votes}) == len(votes), "no window is asked twice"
    assert set(languages(heard)) == {"en", "fr"}
