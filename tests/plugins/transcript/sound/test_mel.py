"""The spectrogram is whisper's."""

from __future__ import annotations

import numpy as np
import pytest
from whisper.audio import N_FRAMES, N_SAMPLES, log_mel_spectrogram, pad_or_trim

from plugins.transcript.sound.mel import HOP, log_mel


@pytest.mark.parametrize("samples", [N_SAMPLES, 100_001, 450, 30])
@pytest.mark.parametrize("bands", [80, 128])
def test_it_is_whisper_s(samples: int, bands: int) -> None:
    sound = np.random.default_rng(samples).standard_normal(samples, np.float32) / np.float32(10)
    frames = samples // HOP
    theirs = pad_or_trim(log_mel_spectrogram(sound, bands, padding=N_SAMPLES)[:, :frames], N_FRAMES)

    mel, heard = log_mel(sound, bands)

    assert heard == frames
    np.testing.assert_allclose(mel, theirs.numpy(), atol=1e-3)
