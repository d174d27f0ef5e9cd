"""x264's presets from fast to slow, and which of them a rendition needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from plugins.encode.profiles import Preset

if TYPE_CHECKING:
    from plugins.encode.video.ladder import Rendition

#: Processor time for that of preset slow, on the clips of `benchmarks.clips` that constants are chosen on; roughly, and
#: not measured anew for each film, so that the same film always gets the same preset.
_SHARES: Mapping[Preset, float] = {
    "veryfast": 0.25,
    "faster": 0.4,
    "fast": 0.5,
    "medium": 0.6,
    "slow": 1.0,
}


def slower(preset: Preset) -> Sequence[Preset]:
    """Return the presets to try where this one isn't good enough, up to medium."""
    order = list(_SHARES)
    return order[order.index(preset) + 1 : -1] if preset in order else ()


def work(renditions: Sequence[Rendition], presets: Mapping[str, Preset]) -> float:
    """Estimate the encoding work of a ladder for Esup-Pod's, which encodes twice what it offers as a file too."""
    pixels = {rendition.name: rendition.width * rendition.height for rendition in renditions}
    pods = sum(pixels[rendition.name] * (2 if rendition.spec.mp4 else 1) for rendition in renditions)
    return sum(pixels[name] * _SHARES.get(preset, 1.0) for name, preset in presets.items()) / pods
