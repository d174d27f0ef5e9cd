"""What of whisper is done in another way, to the same result."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from whisper import timing

from plugins.transcript.decoding.alignment import median_filtered, path


@pytest.mark.parametrize("frames", [1, 3, 4, 1500])
def test_medians_are_whisper_s(frames: int) -> None:
    weights = torch.rand(6, 20, frames)
    assert torch.equal(median_filtered(weights, 7), timing.median_filter(weights, 7))


@pytest.mark.parametrize(("tokens", "frames"), [(1, 1), (1, 40), (40, 1), (23, 300), (120, 90)])
def test_the_way_through_the_sound_is_whisper_s(tokens: int, frames: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where several ways are as good: many fields are equal."""
    matrix = np.random.default_rng(tokens).integers(0, 9, (tokens, frames)).astype(float)

    monkeypatch.setattr(timing, "backtrace", timing.backtrace.py_func)  # not compiled: that takes seconds
    assert np.array_equal(path(matrix).T, timing.dtw_cpu.py_func(-matrix))
