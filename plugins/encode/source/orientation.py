"""How a picture is to be turned and mirrored before it is shown."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from av.filter import Graph
from av.sidedata.sidedata import Type

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

#: Kinds of side data that libav may have and PyAV, which knows all up to a number, doesn't.
_NEWER = range(len(Type), len(Type) + 16)


def orientation(frame: VideoFrame) -> tuple[int, bool]:
    """Read the display matrix (ISO/IEC 14496-12, 6.2.2): degrees clockwise, and whether to mirror before."""
    try:
        matrix = bytes(_side_data(frame)["DISPLAYMATRIX"])
    except KeyError:
        return 0, False
    a, b, _, c, d = struct.unpack("=5i", matrix[:20])
    is_mirrored = a * d - b * c < 0
    if is_mirrored:
        a, b = -a, -b
    return round(math.degrees(math.atan2(b, a)) / 90) * 90 % 360, is_mirrored


def _side_data(frame: VideoFrame) -> Mapping[str, Any]:
    """Return what lies beside the pixels, as far as PyAV knows its kinds; it raises ValueError at one that it doesn't.

    Such are the views of spatial video, and the EXIF of a camera's JPEGs.
    """
    try:
        return cast("Mapping[str, Any]", frame.side_data)
    except ValueError:
        graph = Graph()
        source = graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
        )
        removers = [graph.add("sidedata", f"mode=delete:type={kind}") for kind in _NEWER]
        graph.link_nodes(source, *removers, graph.add("buffersink")).configure()
        graph.vpush(frame)
        return cast("Mapping[str, Any]", graph.vpull().side_data)
