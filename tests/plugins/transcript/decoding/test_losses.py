"""Speech that got no words is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from core import Segment, Word
from plugins.transcript.decoding.coverage import common, less, places, without_words
from plugins.transcript.decoding.fallback import best
from plugins.transcript.decoding.model import Decoding
from plugins.transcript.options import TranscribeOptions

from ..conftest import Transcribe, clip, said


def words(*times: tuple[float, float]) -> list[Segment]:
    found = tuple(Word(text="word", start=start, end=end) for start, end in times)
    return [Segment(text="words", start=times[0][0], end=times[-1][1], words=found)]


class TestCoverage:
    def test_speech_between_words_counts_from_a_length_that_no_pause_has(self) -> None:
        spoken = [(10.0, 20.0), (30.0, 31.0)]

        assert without_words(spoken, words((10.2, 11.0), (12.4, 15.0), (17.0, 20.5))) == [(15.0, 17.0)]

    def test_speech_without_any_word_counts_whole(self) -> None:
        assert without_words([(10.0, 20.0)], []) == [(10.0, 20.0)]

    def test_a_segment_without_word_times_counts_as_its_words(self) -> None:
        assert without_words([(10.0, 20.0)], [Segment(text="words", start=10, end=18.9)]) == []

    def test_what_is_taken_is_cut_out(self) -> None:
        assert less([(0, 10), (20, 30)], [(2, 3), (2.5, 4), (9, 21), (29, 40)]) == [(0, 2), (4, 9), (21, 29)]
        assert common([(0, 10), (20, 30)], [(5, 25)]) == [(5, 10), (20, 25)]

    def test_the_longest_places_are_named_in_the_lecture_s_order(self) -> None:
        assert places([(62.4, 68.0), (3671.0, 3700.0)]) == "0:01:02 to 0:01:08, 1:01:11 to 1:01:40"
        many = [(100.0 * at, 100.0 * at + 2 + at) for at in range(10)]
        assert places(many).startswith("0:03:20 to 0:03:24, ")
        assert places(many).endswith(" and 2 more")


class TestFallback:
    """Every decoding of a window has failed one of whisper's checks."""

    def chosen(self, *results: tuple[float, float], **options: None) -> float | None:
        """Return the temperature of the decoding that is kept; of each: its mean log probability and compression."""
        tried = [
            Decoding((), temperature=0.2 * at, avg_logprob=likely, no_speech_prob=0.0, compression_ratio=ratio)
            for at, (likely, ratio) in enumerate(results)
        ]
        kept = best(tried, TranscribeOptions(**options))
        return None if kept is None else round(kept.temperature, 1)

    def test_the_likeliest_that_is_no_repetition_is_kept(self) -> None:
        assert self.chosen((-0.2, 9.0), (-1.2, 2.0), (-1.1, 2.3), (-3.0, 1.1)) == 0.4

    def test_one_that_passes_is_kept(self) -> None:
        assert self.chosen((-0.2, 9.0), (-0.9, 2.0)) == 0.2

    def test_nothing_is_kept_where_all_are_repetitions(self) -> None:
        assert self.chosen((-0.2, 9.0), (-1.2, 2.5)) is None

    def test_without_a_limit_the_likeliest_is_kept(self) -> None:
        assert self.chosen((-1.3, 9.0), (-1.2, 9.0), (-1.4, 1.0), compression_ratio_threshold=None) == 0.2


def test_what_no_temperature_makes_out_becomes_no_caption_but_a_note(transcribe: Transcribe, tmp_path: Path) -> None:
    heard = transcribe(clip("en-short.wav").path, "en", compression_ratio_threshold=0.1, fallback_temperatures=(0.2,))

    assert heard.segments == ()
    _, note = heard.notes
    assert note.startswith("speech that could not be made out (every decoding repeats itself) has no captions: ")
    lost = heard.facts["speech_given_up"]
    assert f"{lost['seconds']} s, at 0:00:00 to 0:00:" in note
    assert lost["seconds"] == pytest.approx(clip("en-short.wav").starts[-1], abs=3)
    assert "speech_without_words" not in heard.facts, "nothing is told twice"


def test_speech_in_which_the_model_hears_silence_is_noted_and_logged(
    transcribe: Transcribe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its checks call everything a guess here, and every guess silence."""
    heard = transcribe(clip("en-short.wav").path, "en", logprob_threshold=0.0, no_speech_threshold=0.0)

    lost = heard.facts["speech_without_words"]
    assert lost["seconds"] == pytest.approx(clip("en-short.wav").starts[-1], abs=3)
    assert heard.notes[1].startswith("somebody seems to speak where no words were made out: ")
    assert f"{lost['seconds']} s, at 0:00:" in heard.notes[1]
    assert heard.notes[1] in capsys.readouterr().out


def test_speech_that_is_written_down_needs_no_note(transcribe: Transcribe) -> None:
    heard = transcribe(clip("en-short.wav").path, "en")

    assert said(heard) == clip("en-short.wav").text
    assert heard.notes == ()
    assert not [name for name in heard.facts if name in {"speech_given_up", "speech_without_words"}]
