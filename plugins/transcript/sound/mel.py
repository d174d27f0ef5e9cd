"""What Whisper hears: a log-mel spectrogram, as whisper/audio.py makes it, without torch."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from plugins.transcript.sound.windows import LENGTH

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

#: Samples of a frame's spectrum, and from one frame to the next.
_WIDTH, HOP = 400, 160

#: Frames of a window.
FRAMES = LENGTH // HOP


def log_mel(samples: Floats, bands: int) -> tuple[Floats, int]:
    """Return the spectrogram of a window (bands x 3000) and how many of its frames are sound; the rest is zero."""
    samples = samples[:LENGTH]
    whole = np.zeros(_WIDTH // 2 + LENGTH + _WIDTH // 2, np.float32)
    whole[_WIDTH // 2 : _WIDTH // 2 + len(samples)] = samples
    whole[: _WIDTH // 2] = whole[_WIDTH // 2 + 1 : _WIDTH + 1][::-1]  # the sound's beginning, mirrored
    frames = np.lib.stride_tricks.sliding_window_view(whole, _WIDTH)[::HOP][:FRAMES]
    powers = np.abs(np.fft.rfft(frames * _hann())).astype(np.float32) ** 2
    logs = np.log10(np.maximum(_filters(bands) @ powers.T, 1e-10))
    logs = np.maximum(logs, logs.max() - 8.0)
    mel = ((logs + 4.0) / 4.0).astype(np.float32)
    sound = min(len(samples) // HOP, FRAMES)
    mel[:, sound:] = 0.0
    return mel, sound


@cache
def _hann() -> Floats:
    return np.hanning(_WIDTH + 1)[:-1].astype(np.float32)


@cache
def _filters(bands: int) -> Floats:
    package = find_spec("whisper")
    assert package
    assert package.submodule_search_locations
    with np.load(Path(package.submodule_search_locations[0]) / "assets" / "mel_filters.npz") as filters:
        found: Floats = filters[f"mel_{bands}"]
    return found
