"""What of whisper is done in another way, to the same result."""

from __future__ import annotations

import pytest
import torch
from whisper import timing

from plugins.transcript.decoding.whisper_model import median_filtered


@pytest.mark.parametrize("frames", [1, 3, 4, 1500])
def test_medians_are_whisper_s(frames: int) -> None:
    weights = torch.rand(6, 20, frames)
    assert torch.equal(median_filtered(weights, 7), timing.median_filter.__wrapped__(weights, 7))
