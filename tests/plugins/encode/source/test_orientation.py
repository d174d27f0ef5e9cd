"""How a picture is to be turned, whatever else lies beside its pixels."""

from __future__ import annotations

import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

#: EXIF's tags, and its orientations with how to undo them (CIPA DC-008, 4.6.5).
_ORIENTATION, _MAKER = 0x0112, 0x010F
UPRIGHT: dict[int, Image.Transpose | None] = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
}


def camera_film(path: Path, orientation: int) -> Path:
    """Write JPEGs as a camera does, each with its EXIF, which libav hands on as side data that PyAV doesn't know."""
    exif = Image.Exif()
    exif[_ORIENTATION], exif[_MAKER] = orientation, "a camera"
    image = Image.new("RGB", (160, 96), (0, 0, 0))
    image.paste((255, 255, 255), (0, 0, 40, 40))
    data = io.BytesIO()
    image.save(data, "JPEG", exif=exif)
    with av.open(str(path), "w") as film:
        stream = film.add_mux_stream("mjpeg", rate=5, width=160, height=96)
        for number in range(3):
            packet: av.Packet[Any] = av.Packet(data.getvalue())
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 5), True
            packet.pts = packet.dts = number
            film.mux(packet)
    return path


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_side_data_of_a_kind_that_pyav_does_not_know_hides_no_display_matrix(
    tmp_path: Path, encode: Any, watch: Callable[[Path], Any], orientation: int
) -> None:
    made = encode(camera_film(tmp_path / "a.avi", orientation), profile="lecture")

    undo = UPRIGHT[orientation]
    shown = watch(made.films[0])[0][1].convert("L")
    given = Image.new("L", (160, 96))
    given.paste(255, (0, 0, 40, 40))
    upright = given if undo is None else given.transpose(undo)
    assert shown.size == upright.size
    for x, y in ((20, 20), (-20, 20), (20, -20), (-20, -20)):
        place = x % shown.width, y % shown.height
        assert abs(shown.getpixel(place) - upright.getpixel(place)) < 40
