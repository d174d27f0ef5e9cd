"""How much of a window counts as heard, and where its lane goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from plugins.transcript.checkpoint import Notebook
from plugins.transcript.decoding.batches import part_of
from plugins.transcript.decoding.decoder import Heard
from plugins.transcript.language import LanguageVerdict
from plugins.transcript.sound.windows import RATE, Window

WINDOW = Window(((0, 30 * RATE),))


@pytest.mark.parametrize(
    ("spoken", "silent", "reached"),
    [
        ((0, 10), 10.0, 30),  # the model and the detector hear the same
        ((0, 11), 10.0, 30),  # a second is the fringe of the last word
        ((0, 20), 10.0, 10),  # the detector hears somebody for ten seconds more
        ((0, 20), 0.0, 30),  # to go on there would lead nowhere
        ((0, 20), None, 30),  # the model says nothing of silence
    ],
)
def test_what_the_model_calls_silence_is_heard_again_where_the_detector_hears_somebody(
    spoken: tuple[int, int], silent: float | None, reached: int, tmp_path: Path
) -> None:
    notebook = Notebook(tmp_path, {})
    notebook.begin([WINDOW], [(spoken[0] * RATE, spoken[1] * RATE)], LanguageVerdict("en"))

    part = part_of("transcribe", (0, 0), WINDOW, Heard([], [], 0.0, 30.0, silent=silent), "en", notebook)

    assert part.end == reached * RATE
