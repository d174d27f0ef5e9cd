"""Through the real code of whisper and silero-vad, with a checkpoint that knows 24 sentences."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest

from core import Cancelled, Progress, Word
from core.errors import BadCall, BadSource, Permanent
from core.testing import fake_context, make_clip
from plugins.transcript.sound.windows import RATE

from .conftest import LONG, SHORT, Transcribe, clip, load, music, noise, said, save, silence


@pytest.mark.parametrize("asked", [pytest.param("given", marks=pytest.mark.long), "auto"])
@pytest.mark.parametrize("name", SHORT)
def test_short_recordings_word_by_word(name: str, asked: str, transcribe: Transcribe) -> None:
    known = clip(name)

    heard = transcribe(known.path, known.language if asked == "given" else "auto")

    assert said(heard) == known.text
    assert heard.language == known.language
    words = [word for segment in heard.segments for word in segment.words]
    starts = _starts_of_written_words(known.text, words)
    assert max(abs(one - other) for one, other in zip(starts, known.starts, strict=True)) <= 0.6
    assert all(word.confidence is not None and 0 <= word.confidence <= 1 for word in words)
    if asked == "auto":
        assert heard.facts["language_probability"] > 0.9
        assert len(heard.facts["language_alternatives"]) == 3


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.long] if name.startswith("fr") else []) for name in LONG]
)
def test_recordings_of_several_windows(name: str, transcribe: Transcribe) -> None:
    known = clip(name)

    heard = transcribe(known.path)

    assert (heard.language, said(heard)) == (known.language, known.text)
    assert heard.facts["windows"] >= 2
    words = [word for segment in heard.segments for word in segment.words]
    starts = _starts_of_written_words(known.text, words)
    assert starts == sorted(starts)
    assert median(abs(one - other) for one, other in zip(starts, known.starts, strict=True)) <= 0.1


def _starts_of_written_words(text: str, words: Sequence[Word]) -> list[float]:
    """Return when each word begins; a French question mark is a word of its own, but nobody speaks it."""
    assert [word.text for word in words] == text.split()
    return [word.start for word in words if word.text != "?"]


@pytest.mark.long
def test_batches_of_one_and_of_eight_hear_the_same(transcribe: Transcribe) -> None:
    known = clip("fr-long.mp4")

    one, eight = (transcribe(known.path, "fr", job=f"of-{size}", batch_size=size) for size in (1, 8))

    assert one == eight


@pytest.mark.long
def test_files_of_3_29_9_30_1_and_75_seconds(transcribe: Transcribe, tmp_path: Path) -> None:
    speech = load(clip("en-short.wav").path)[: 3 * RATE]
    for seconds in (3, 29.9, 30.1, 75):
        sound = np.concatenate([speech, silence(seconds - 3)])
        heard = transcribe(save(tmp_path / f"{seconds}.wav", sound), "en", job=f"s{seconds}")
        assert heard.facts["duration"] == pytest.approx(seconds, abs=0.01)
        assert said(heard).startswith("Are there any questions so far?")
        assert heard.segments[0].end < 3.5


def test_75_seconds_of_speech_are_all_heard(transcribe: Transcribe, tmp_path: Path) -> None:
    one, other = (load(clip(name).path) for name in ("en-noisy.mp3", "en-short.wav"))
    sound = np.concatenate([one, silence(18), other, silence(20), one])

    heard = transcribe(save(tmp_path / "a.wav", sound[: 75 * RATE]), "en")

    assert len(sound) > 70 * RATE
    assert {"Energy is never created or destroyed."} <= {segment.text for segment in heard.segments}
    assert heard.segments[-1].end > 62
    assert heard.facts["speech_seconds"] < 50


@pytest.mark.parametrize("make", [silence, noise, music], ids=["silence", "noise", "music"])
def test_where_nobody_speaks_there_are_no_captions_and_a_word_about_it(
    make: Any, transcribe: Transcribe, tmp_path: Path
) -> None:
    heard = transcribe(save(tmp_path / "a.wav", make(20)))

    assert heard.segments == ()
    assert heard.notes == ("nobody speaks in this recording, so its captions are empty",)
    assert heard.language == "und"


def test_a_language_that_was_given_is_kept_for_silence(transcribe: Transcribe, tmp_path: Path) -> None:
    assert transcribe(save(tmp_path / "a.wav", silence(3)), "fr").language == "fr"


def test_an_unknown_language_is_refused_before_any_work(transcribe: Transcribe, tmp_path: Path) -> None:
    with pytest.raises(BadCall, match="'xx' is no language that whisper knows"):
        transcribe(tmp_path / "not-there.wav", "xx")


def test_a_missing_model_says_how_to_get_it(transcribe: Transcribe, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("AMPHIPOD_TRANSCRIPT_FOLDER", str(tmp_path / "models"))
    with pytest.raises(Permanent, match=r"the model base is not on this host .* `amphipod models pull base`"):
        transcribe(clip("en-short.wav").path, model="base")


def test_corrupt_audio_and_a_mute_film_are_refused(transcribe: Transcribe, tmp_path: Path) -> None:
    (tmp_path / "bad.mp3").write_bytes(bytes(range(256)) * 200)
    with pytest.raises(BadSource, match=r"bad\.mp3"):
        transcribe(tmp_path / "bad.mp3", job="one")
    with pytest.raises(BadSource, match="has no sound to transcribe"):
        transcribe(make_clip(tmp_path / "mute.mp4", audio=False), job="two")


def test_windows_that_fail_the_checks_are_decoded_again(transcribe: Transcribe) -> None:
    known = clip("fr-long.mp4")

    heard = transcribe(known.path, "fr", logprob_threshold=0.0, no_speech_threshold=None, fallback_temperatures=(0.2,))

    assert heard.facts["windows_decoded_again"] == heard.facts["windows"]


def test_the_checks_can_be_left_out(transcribe: Transcribe) -> None:
    heard = transcribe(clip("en-short.wav").path, "en", logprob_threshold=None, compression_ratio_threshold=None)

    assert heard.facts["windows_decoded_again"] == 0


def test_a_translation_has_captions_of_its_own(transcribe: Transcribe) -> None:
    heard = transcribe(clip("fr-short.wav").path, "fr", translate=True)

    (english,) = heard.translations
    assert (english.language, english.translated_from) == ("en", "fr")
    assert english.segments
    assert not [segment for segment in english.segments if segment.words]


def test_english_is_not_translated(transcribe: Transcribe) -> None:
    heard = transcribe(clip("en-short.wav").path, "en", translate=True)

    assert heard.translations == ()
    assert "nothing to translate" in heard.notes[0]


def test_a_glossary_and_the_text_before_reach_the_model(transcribe: Transcribe) -> None:
    """What it makes of them can't be asked of this checkpoint, which has never seen a prompt."""
    heard = transcribe(clip("en-long.mp4").path, "en", glossary=["Carnot", "entropy"], condition_on_previous_text=True)

    assert heard.segments


def test_loudness_can_be_evened_first(transcribe: Transcribe) -> None:
    known = clip("fr-noisy.mp3")

    assert said(transcribe(known.path, "fr", normalize=True)) == known.text


def test_progress_counts_seconds_of_speech_and_reaches_the_end(transcribe: Transcribe, tmp_path: Path) -> None:
    known, seen = clip("en-long.mp4"), list[Progress]()
    context = fake_context(tmp_path / "j", known.path, step="transcribe", threads=1, report=seen.append)

    heard = transcribe(known.path, "en", context=context, batch_size=1)

    assert seen[-1].done == pytest.approx(seen[-1].total)
    assert seen[-1].total == pytest.approx(heard.facts["speech_seconds"], abs=0.01)


def test_a_cancel_stops_between_windows(transcribe: Transcribe, tmp_path: Path) -> None:
    known, seen = clip("en-long.mp4"), list[Progress]()
    context = fake_context(
        tmp_path / "j",
        known.path,
        step="transcribe",
        threads=1,
        report=seen.append,
        is_cancelled=lambda: any(not one.doing for one in seen),
    )

    with pytest.raises(Cancelled):
        transcribe(known.path, "en", context=context, batch_size=1)
    assert seen[-1].fraction < 1


def test_the_next_attempt_goes_on_from_what_was_saved(transcribe: Transcribe, tmp_path: Path) -> None:
    known, seen, is_crashing = clip("en-long.mp4"), list[Progress](), [True]
    first = fake_context(
        tmp_path / "j",
        known.path,
        step="transcribe",
        threads=1,
        report=seen.append,
        is_cancelled=lambda: is_crashing[0] and any(not one.doing for one in seen),
    )
    with pytest.raises(Cancelled):
        transcribe(known.path, context=first, batch_size=1)
    saved = first.kept / "windows.jsonl"
    saved.write_text(saved.read_text() + '{"lane": 1, "segm')  # the crash came while it was written

    is_crashing[0] = False
    heard = transcribe(known.path, context=first, batch_size=1)

    assert heard.facts["windows_resumed"] == 1
    assert said(heard) == known.text
    assert heard.facts["language_probability"] > 0.9


def test_what_was_saved_under_other_options_is_not_used(transcribe: Transcribe, tmp_path: Path) -> None:
    known = clip("en-long.mp4")
    context = fake_context(tmp_path / "j", known.path, step="transcribe", threads=1)
    transcribe(known.path, "en", context=context)

    assert transcribe(known.path, "en", context=context).facts["windows_resumed"] >= 2
    assert transcribe(known.path, "en", context=context, vad_threshold=0.3).facts["windows_resumed"] == 0


def test_the_rest_of_a_window_is_heard_again_and_saved_like_the_window(transcribe: Transcribe, tmp_path: Path) -> None:
    """Each attempt ends after one batch; all together they hear what a single one hears, and nothing twice."""
    known, seen = clip("en-long.mp4"), list[Progress]()
    whole = transcribe(known.path, "en", vad=False, batch_size=1, job="whole")
    assert whole.facts["windows"] > 2, "more than the sound has"
    context = fake_context(
        tmp_path / "j",
        known.path,
        step="transcribe",
        threads=1,
        report=seen.append,
        is_cancelled=lambda: any(not one.doing for one in seen),
    )
    attempts = 0
    heard = None
    while heard is None:
        seen.clear()
        attempts += 1
        try:
            heard = transcribe(known.path, "en", context=context, vad=False, batch_size=1)
        except Cancelled:
            assert 0 < seen[-1].fraction <= 1

    assert attempts == len((context.kept / "windows.jsonl").read_text().splitlines()) - 1, "a line of what is done each"
    assert heard.segments == whole.segments
