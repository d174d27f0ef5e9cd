from __future__ import annotations

import json
from typing import Any

import pytest

from core.process import messages

_ENGINE = {"plugin": "liar", "distribution": "x", "version": "1"}


def answer(path: str, media_type: str = "video/mp4", **facts: Any) -> str:
    made = {"kind": "rendition", "path": path, "media_type": media_type}
    return json.dumps({"answer": {"engine": _ENGINE, "output": {"artifacts": [made], "facts": facts}}})


def test_an_answer_is_understood() -> None:
    said = messages.read(answer("audio/fr.mp4", duration=61.7).encode())
    assert said.answer
    assert said.answer.output
    assert said.answer.output.artifacts[0].path == "audio/fr.mp4"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("[" * 100_000, "is not JSON"),
        ("5", "must be a table"),
        ('{"progress": [NaN, 1, 1, ""]}', "progress"),
        ('{"error": {"type": "HostUnfit"}}', "error.message: is missing"),
        (answer("a.mp4", duration="x"), "the fact duration"),
        (answer("../../../request.json"), "is no path of a file"),
        (answer("a//../b"), "is no path of a file"),
        (answer("/etc/passwd"), "is no path of a file"),
        (answer("a\x1b[2J.mp4"), "control characters"),
        (answer("a.mp4", "text/html\r\nSet-Cookie: a=b"), "media_type"),
    ],
)
def test_what_a_decoder_that_was_taken_over_might_say_is_not(said: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        messages.read(said.encode())
