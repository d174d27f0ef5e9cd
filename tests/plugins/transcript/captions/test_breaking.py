"""Lines break where the script allows it."""

from __future__ import annotations

import pytest

from plugins.transcript.captions.breaking import fitting, phrases
from plugins.transcript.captions.typography import width


@pytest.mark.parametrize(
    ("language", "whole"),
    [
        ("ja", ["今日は", "サブディレクトリーの", "一覧を", "表示します。"]),
        ("zh", ["今天", "我们", "来", "学习", "热力学", "第二", "定律。"]),
        ("th", ["วัน", "นี้", "อากาศ", "ดี", "มาก"]),
    ],
)
def test_no_phrase_is_cut(language: str, whole: list[str]) -> None:
    assert phrases("".join(whole), language) == whole


@pytest.mark.parametrize("text", ["ちょっと、「はい」っていったー。", "(注)サーバーへ…と『言った』!", "「い」って" * 4])
def test_no_line_begins_with_a_closing_sign_or_small_kana_or_ends_with_an_opening_one(text: str) -> None:
    lines = [line for limit in range(10, 20) for line in fitting(text, limit)] + phrases(text, "ja")

    assert all(line[0] not in "、。」』)!…っゃゅょー" and line[-1] not in "「『(" for line in lines)


def test_a_word_too_long_for_a_line_is_cut_between_characters_not_inside_them() -> None:
    lines = fitting("e\u0301" * 50, 40)

    assert [width(line) for line in lines] == [40, 10]
    assert all(line.startswith("e\u0301") for line in lines)


def test_latin_words_in_japanese_stay_whole() -> None:
    assert all("Python3" in part or "Python3"[2:] not in part for part in phrases("今日はPython3を使います。", "ja"))
