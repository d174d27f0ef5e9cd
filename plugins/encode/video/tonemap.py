"""High dynamic range to what every screen shows: BT.2020 light with PQ or HLG to 8-bit BT.709, as a table of colours.

A film's white (203 cd/m², ITU-R BT.2408) becomes the screen's; what is brighter is rolled off by the curve of
ITU-R BT.2390 section 5.4.1 between there and 1000 cd/m², at which nearly all recordings are graded. Below 92 cd/m²
nothing changes, so that a slide filmed by a phone keeps its colours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

from plugins.encode.source.video_track import Colour

#: Of ISO/IEC 23091-2.
BT709 = 1
BT2020 = 9
_PQ = 16
_HLG = 18

#: Candelas a square metre.
_PEAK = 1000.0
_WHITE = 203.0

#: Of BT.1886, by which a screen turns the signal into light.
_SCREEN_GAMMA = 2.4

#: Grid points of the table for each of red, green and blue.
_GRID = 65

#: Light of BT.2020's primaries in BT.709's (ITU-R BT.2407).
_TO_709 = ((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187))

#: How `lutrgb` turns the table's light into the screen's signal, both of 16 bits.
TO_SIGNAL = ":".join(f"{primary}='65535*pow(max(2*val/65535-1,0),1/{_SCREEN_GAMMA})'" for primary in "rgb")

_LUMINANCE = (0.2627, 0.6780, 0.0593)

Light = tuple[float, float, float]


def is_wide(colour: Colour) -> bool:
    """Tell whether these pictures are not meant for a BT.709 screen."""
    return colour.primaries == BT2020 or colour.transfer in {_PQ, _HLG}


def shown_colour(colour: Colour) -> Colour:
    """Return the tags of the film that is made of such pictures."""
    return Colour(BT709, BT709, BT709) if is_wide(colour) else colour


def write_table(colour: Colour, path: Path) -> None:
    """Write the table that turns such a signal into a BT.709 screen's light, in the form that `lut3d` reads.

    Its 0.5 stands for black, because a saturated colour of BT.2020 asks for less than no light of a BT.709 primary.
    Light runs nearly straight between the table's points; the signal, steepest at black, would not.
    """
    levels = [step / (_GRID - 1) for step in range(_GRID)]
    to_light = {_PQ: _pq_light, _HLG: _hlg_light}.get(colour.transfer, _sdr_light)
    rolled_off = _roll_off if colour.transfer in {_PQ, _HLG} else lambda light: light
    with path.open("w") as file:
        file.write(f"LUT_3D_SIZE {_GRID}\n")
        file.writelines(_rows(levels, to_light, rolled_off))


def _rows(
    levels: list[float], to_light: Callable[[list[float]], list[float]], rolled_off: Callable[[float], float]
) -> Iterator[str]:
    """Yield the table's rows, red changing fastest."""
    light = to_light(levels)
    is_hlg = to_light is _hlg_light
    gains = [1.0] + [rolled_off(step * _PEAK / 1024) / (step * _PEAK / 1024) for step in range(1, 1025)]
    (rr, rg, rb), (gr, gg, gb), (br, bg, bb) = _TO_709
    for blue in light:
        for green in light:
            for red in light:
                # HLG's light depends on how bright the whole pixel is (BT.2100, OOTF with a gamma of 1.2).
                scene = _LUMINANCE[0] * red + _LUMINANCE[1] * green + _LUMINANCE[2] * blue
                gain = _PEAK * scene**0.2 if is_hlg and scene else 1.0
                brightest = max(red, green, blue) * gain
                gain *= gains[min(round(brightest * 1024 / _PEAK), 1024)] / _WHITE
                if brightest > _PEAK:
                    gain *= _PEAK / brightest
                red_709 = _share((rr * red + rg * green + rb * blue) * gain)
                green_709 = _share((gr * red + gg * green + gb * blue) * gain)
                blue_709 = _share((br * red + bg * green + bb * blue) * gain)
                yield f"{red_709:.6f} {green_709:.6f} {blue_709:.6f}\n"


def _share(light: float) -> float:
    """Return a screen's light, -1 to 1, as 0 to 1."""
    return (max(min(light, 1.0), -1.0) + 1) / 2


def _sdr_light(levels: list[float]) -> list[float]:
    return [_WHITE * level**_SCREEN_GAMMA for level in levels]


# ITU-R BT.2100: the perceptual quantiser.
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32


def _pq_light(levels: list[float]) -> list[float]:
    roots = [level ** (1 / _M2) for level in levels]
    return [10_000 * (max(root - _C1, 0) / (_C2 - _C3 * root)) ** (1 / _M1) for root in roots]


def _pq_signal(light: float) -> float:
    power = (light / 10_000) ** _M1
    return float(((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2)


def _hlg_light(levels: list[float]) -> list[float]:
    """Return the light of the scene, 1 for the brightest."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return [level**2 / 3 if level <= 0.5 else (math.exp((level - c) / a) + b) / 12 for level in levels]


def _roll_off(light: float) -> float:
    """BT.2390's curve from a peak of 1000 cd/m² to one of 203: a Hermite spline above the knee, in PQ."""
    top = _pq_signal(_PEAK)
    brightest = _pq_signal(_WHITE) / top
    level, knee = min(_pq_signal(light) / top, 1.0), 1.5 * brightest - 0.5
    if level >= knee:
        t = (level - knee) / (1 - knee)
        level = (
            (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * brightest
        )
    return _pq_light([level * top])[0]
