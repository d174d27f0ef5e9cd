"""No input of words breaks the rules of captions."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import Segment, Word
from plugins.transcript.captions.cues import Cue, build_cues
from plugins.transcript.captions.reading import scaled
from plugins.transcript.captions.tokens import tokenize
from plugins.transcript.captions.typography import join, whole_words, width
from plugins.transcript.options import CaptionOptions

RULES = CaptionOptions()

anything = st.floats(allow_nan=True, allow_infinity=True) | st.floats(-10, 4000)
words = st.builds(
    lambda text, start, end: Word(text=text, start=start, end=end),
    st.text(max_size=12) | st.sampled_from(["?", " !", "«", "»", "oui,", "fin.", "a" * 90, "-->", "漢字", "et", ""]),
    anything,
    anything,
)
languages = st.sampled_from(["fr", "en", "de", "ja", "zh", "ko", "th", "my", "ar", "und"])
rules = st.builds(
    CaptionOptions,
    line_length=st.integers(37, 42),
    lines=st.integers(1, 2),
    min_duration=st.sampled_from([0.5, 1.0, 2.0]),
    max_duration=st.sampled_from([4.0, 7.0]),
    reading_speed=st.floats(8, 30),
    gap_frames=st.integers(0, 10),
)


def segment(*words: Word) -> Segment:
    return Segment(text=" ".join(word.text for word in words), start=0, end=1, words=words)


@st.composite
def speech(draw: st.DrawFn) -> list[Word]:
    """Words as people say them: 12 to 18 characters a second, a pause now and then."""
    clock, said = 0.0, []
    for text in draw(st.lists(st.text("abcdefghij", min_size=1, max_size=12), min_size=1, max_size=80)):
        sign = draw(st.sampled_from(["", "", "", "", ",", ".", " ?"]))
        seconds = len(text + sign) / draw(st.floats(12, 18))
        said.append(Word(text=text + sign, start=clock, end=clock + seconds))
        clock += seconds + draw(st.sampled_from([0.02, 0.02, 0.05, 0.3, 1.5, 6.0]))
    return said


def check(cues: list[Cue], rules: CaptionOptions) -> None:
    for cue in cues:
        assert 1 <= len(cue.lines) <= rules.lines
        assert all(line.strip() and width(line) <= rules.line_length for line in cue.lines)
        assert cue.start >= 0
        assert rules.min_duration * 1000 <= cue.end - cue.start <= rules.max_duration * 1000
    for one, other in pairwise(cues):
        assert other.start - one.end >= rules.gap * 1000


def characters(text: str) -> str:
    return "".join(char for char in text if not char.isspace() and unicodedata.category(char) not in ("Cc", "Cs"))


@given(st.lists(words, max_size=60), languages, rules)
def test_whatever_an_engine_hears_the_rules_hold(heard: list[Word], language: str, rules: CaptionOptions) -> None:
    cues = build_cues([segment(*heard)], language, rules)

    check(cues, scaled(rules, language))
    shown = characters("".join("".join(cue.lines) for cue in cues))
    assert shown == characters("".join(word.text for word in heard)), "a word is lost, or out of order"


@given(st.lists(st.builds(Segment, text=st.text(max_size=300), start=anything, end=anything), max_size=8), languages)
def test_segments_without_words_obey_the_same_rules(heard: list[Segment], language: str) -> None:
    check(build_cues(heard, language, RULES), scaled(RULES, language))


@settings(deadline=None)
@given(speech())
def test_speech_is_shown_in_time_and_can_be_read(heard: list[Word]) -> None:
    cues = build_cues([segment(*heard)], "fr", RULES)

    check(cues, RULES)
    begin = {round(token.start * 1000) for token in tokenize(heard, "fr", RULES.line_length)}
    for cue, following in zip(cues, [*cues[1:], None], strict=True):
        assert any(abs(cue.start - start) <= 1000 for start in begin), "a caption lags behind its words"
        too_fast = sum(map(width, cue.lines)) / (cue.end - cue.start) * 1000 > RULES.reading_speed + 0.1
        assert not too_fast or (following and following.start - cue.end <= 81), "time was left to read it"


@settings(deadline=None)
@given(speech())
def test_no_word_is_left_alone_where_it_fits_elsewhere(heard: list[Word]) -> None:
    tokens = tokenize(heard, "en", RULES.line_length)
    cues = build_cues([segment(*heard)], "en", RULES)

    reached = 0
    for cue in cues:
        inside = tokens[reached : (reached := reached + len(" ".join(cue.lines).split(" ")))]
        texts = [token.text for token in inside]
        assert join(texts, "en") == " ".join(cue.lines)
        splits = [(texts[:at], texts[at:]) for at in range(2, len(texts) - 1)]
        if any(max(width(join(half, "en")) for half in split) <= RULES.line_length for split in splits):
            assert all(" " in line for line in cue.lines) or len(cue.lines) == 1
        before = tokens[reached - 2] if reached > 1 else None
        if len(inside) == 1 and before and not before.ends_sentence:
            last = next(cue for cue in cues if cue.lines[-1].endswith(before.text))
            joined = width(" ".join(last.lines)) + 1 + inside[0].width
            lasts = inside[0].end - last.start / 1000
            assert joined > RULES.line_length or lasts > RULES.max_duration


def test_a_cue_ends_with_its_sentence() -> None:
    text = "Energy is never created. Heat flows from hot bodies to cold bodies, as we have seen last week."
    heard = [Word(text=word, start=at * 0.4, end=at * 0.4 + 0.35) for at, word in enumerate(text.split())]

    first, *_ = build_cues([segment(*heard)], "en", RULES)

    assert first.lines == ("Energy is never created.",)


def test_a_pause_parts_captions() -> None:
    heard = [Word(text="so", start=0, end=0.3), Word(text="then", start=0.4, end=0.8)]
    later = [Word(text="we", start=9.0, end=9.2), Word(text="begin", start=9.3, end=9.8)]

    cues = build_cues([segment(*heard, *later)], "en", RULES)

    assert [(cue.start, cue.lines) for cue in cues] == [(0, ("so then",)), (9000, ("we begin",))]


@pytest.mark.parametrize(
    ("language", "heard", "shown"),
    [
        ("fr", "Avez-vous des questions ?", "Avez-vous des questions\u202f?"),
        ("fr", "Oui ! Voici : « non »", "Oui\u202f! Voici\u00a0: «\u00a0non\u00a0»"),
        ("en", "Really ?", "Really?"),
        ("en", 'He said "no" .', 'He said "no".'),
        ("fr", "12 % de vapeur", "12\u00a0% de vapeur"),
    ],
)
def test_punctuation_clings_to_its_word(language: str, heard: str, shown: str) -> None:
    said = [Word(text=word, start=at, end=at + 0.5) for at, word in enumerate(heard.split())]

    assert join([token.text for token in tokenize(said, language, RULES.line_length)], language) == shown


def test_languages_without_spaces_get_none() -> None:
    said = [
        Word(text=char, start=at * 0.2, end=at * 0.2 + 0.2)
        for at, char in enumerate("熱は高温の物体から低温へ流れる。")
    ]

    assert build_cues([segment(*said)], "ja", RULES)[0].lines == ("熱は高温の物体から低温へ流れる。",)


def test_a_lecture_of_two_hours_takes_seconds() -> None:
    heard = [
        Word(text="sentence." if at % 11 == 0 else "words", start=at * 0.4, end=at * 0.4 + 0.3) for at in range(18_000)
    ]

    check(build_cues([segment(*heard)], "en", RULES), RULES)


@pytest.mark.parametrize(
    ("language", "line", "speed"), [("ja", 32, 14), ("zh-TW", 32, 18), ("ko", 32, 24), ("ar", 40, 20)]
)
def test_lines_and_reading_speed_are_the_scripts_own(language: str, line: int, speed: float) -> None:
    rules = scaled(RULES, language)

    assert (rules.line_length, rules.reading_speed) == (line, speed)


def test_two_hours_of_japanese_take_seconds() -> None:
    said = "熱は高温の物体から低温の物体へ流れる。" * 400
    heard = [Word(text=char, start=at * 0.9, end=at * 0.9 + 0.9) for at, char in enumerate(said)]

    check(build_cues([Segment(text=said, start=0, end=7200, words=heard)], "ja", RULES), scaled(RULES, "ja"))


def test_words_of_another_script_keep_their_space() -> None:
    said = [Word(text=word, start=at, end=at + 1) for at, word in enumerate(["これは", "Deep", "Learning", "の", "話"])]
    heard = Segment(text="これは Deep Learningの話", start=0, end=5, words=tuple(said))

    assert build_cues([heard], "ja", RULES)[0].lines == ("これは Deep Learningの話",)


def test_a_cue_holds_one_language() -> None:
    said = [Segment(text="He says", start=0, end=1), Segment(text="bonjour !", start=1, end=2, language="fr")]

    cues = build_cues(said, "en", RULES)

    assert [(cue.language, cue.lines) for cue in cues] == [("en", ("He says",)), ("fr", ("bonjour\u202f!",))]


@given(st.lists(words, max_size=40), st.floats(0.5, 4000))
def test_nothing_lasts_beyond_the_film(heard: list[Word], duration: float) -> None:
    cues = build_cues([segment(*heard)], "en", RULES, duration)

    assert all(0 <= cue.start < cue.end for cue in cues)
    assert all(one.end <= other.start for one, other in pairwise(cues))
    assert not cues or cues[-1].end <= duration * 1000


@pytest.mark.parametrize("heard", ["l' école", "aujourd' hui", "dit -il", "enfin – oui"])
def test_apostrophes_hyphens_and_dashes_open_no_line(heard: str) -> None:
    said = [Word(text=word, start=at, end=at + 0.5) for at, word in enumerate(heard.split())]

    assert all(piece.text[0] not in "'’-–" for piece in tokenize(said, "fr", 40))
    assert len(tokenize(said, "fr", 40)) == 1 + ("oui" in heard)


def test_german_closes_with_the_sign_that_english_opens_with() -> None:
    said = [Word(text=word, start=at, end=at + 0.5) for at, word in enumerate(["Er", "sagt", "„", "ja", "“", "."])]

    assert [piece.text for piece in tokenize(said, "de", 40)] == ["Er", "sagt", "„ja“."]


@pytest.mark.parametrize(
    ("parts", "language", "words"),
    [
        ([" m", "'appelle", " Alice"], "fr", ["m'appelle", "Alice"]),
        (["Go", "ogle", "検", "査"], "ja", ["Google", "検", "査"]),
        (["は", " Go", "ogle", " News"], "ja", ["は", "Google", "News"]),
    ],
)
def test_what_the_tokenizer_takes_apart_is_one_word(parts: list[str], language: str, words: list[str]) -> None:
    heard = [Word(text=part, start=at, end=at + 1, confidence=0.9) for at, part in enumerate(parts)]
    assert [word.text for word in whole_words(heard, language)] == words
