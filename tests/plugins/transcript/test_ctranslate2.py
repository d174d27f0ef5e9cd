"""The same weights run by CTranslate2: converted once, chosen by where they lie, heard as torch hears them."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from core.cli import build
from core.errors import BadCall
from core.testing import fake_context
from plugins.transcript.conversion import made

from .conftest import Transcribe, clip, said


@pytest.fixture(scope="module")
def converted(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(str(checkpoint), tmp_path_factory.mktemp("ct2") / "micro", Path())


def test_it_hears_what_is_said_word_by_word(converted: Path, transcribe: Transcribe) -> None:
    known = clip("en-short.wav")

    heard = transcribe(known.path, "auto", model=str(converted))

    assert (heard.language, said(heard)) == ("en", known.text)
    assert heard.facts["recogniser"] == "CTranslate2 int8"
    words = [word for segment in heard.segments for word in segment.words]
    assert max(abs(one.start - start) for one, start in zip(words, known.starts, strict=True)) <= 0.6
    assert all(word.confidence is not None and 0 <= word.confidence <= 1 for word in words)


@pytest.mark.long
def test_windows_that_fail_the_checks_are_decoded_again_to_the_same_words(
    converted: Path, transcribe: Transcribe
) -> None:
    options = {"model": str(converted), "logprob_threshold": 0.0, "no_speech_threshold": None}

    heard = [transcribe(clip("fr-short.wav").path, "fr", job=name, **options) for name in ("one", "two")]

    assert heard[0].facts["windows_decoded_again"] == heard[0].facts["windows"]
    assert said(heard[0]) == said(heard[1]), "what is left to chance is the same chance each time"


@pytest.mark.long
def test_a_glossary_and_a_translation_are_taken(converted: Path, transcribe: Transcribe) -> None:
    heard = transcribe(clip("fr-short.wav").path, "fr", model=str(converted), translate=True, glossary="entropie")

    assert heard.language == "fr"
    assert all(other.language == "en" for other in heard.translations)


def test_a_table_may_name_one_library_s_weights_for_the_vote_and_the_other_s_for_the_language(
    converted: Path, checkpoint: Path, transcribe: Transcribe
) -> None:
    """What the one has encoded for its vote, the other can't read."""
    known = clip("en-short.wav")

    heard = transcribe(known.path, "auto", model=None, models={"auto": str(converted), "en": str(checkpoint)})

    assert (said(heard), heard.facts["recogniser"]) == (known.text, "openai-whisper float32")


def test_what_one_library_has_heard_is_not_gone_on_with_by_the_other(
    converted: Path, checkpoint: Path, transcribe: Transcribe, tmp_path: Path
) -> None:
    path = clip("en-short.wav").path
    context = fake_context(tmp_path / "j", path, step="transcribe", threads=1)
    transcribe(path, "en", model=str(converted), context=context)

    assert transcribe(path, "en", model=str(converted), context=context).facts["windows_resumed"] >= 1
    assert transcribe(path, "en", model=str(checkpoint), context=context).facts["windows_resumed"] == 0


def test_a_converted_folder_is_whole_or_not_there(converted: Path, checkpoint: Path, tmp_path: Path) -> None:
    assert made(str(checkpoint), converted, tmp_path) == converted, "it is there"
    assert [path.name for path in converted.parent.iterdir()] == ["micro"]
    (tmp_path / "mine").mkdir()
    with pytest.raises(BadCall, match="mine is there and holds no model: name a folder that is not there yet"):
        made(str(checkpoint), tmp_path / "mine", tmp_path)
    with pytest.raises(BadCall, match="has no name that says where to: name a folder behind it"):
        made(str(checkpoint), None, tmp_path)


def test_the_command_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AMPHIPOD_TRANSCRIPT_FOLDER", str(tmp_path))
    done = CliRunner().invoke(build(["models"]), ["models", "convert", "base"])

    assert done.exit_code != 0
    assert "fetch it once with `amphipod models pull base`" in str(done.exception or done.output)
