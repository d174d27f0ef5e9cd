"""AV1 by SVT-AV1: for players that can save half the bytes, beside the H.264 that all can play."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plugins.encode.profiles import Profile
    from plugins.encode.video.ladder import Rendition

_SEQUENCE_HEADER = 1


def av1_options(rendition: Rendition, profile: Profile) -> dict[str, str]:
    # Keyframes come where the frames say; an open group of pictures would let a segment refer to the one before.
    return {
        "preset": str(profile.av1_preset),
        "crf": f"{rendition.spec.crf:g}",
        "svtav1-params": f"mbr={rendition.spec.max_rate // 1000}:irefresh-type=2:scd=0:keyint=-1",
    }


def av1_codec(extradata: bytes) -> str:
    """Name a stream as the AV1 codec's ISO media file format binding does, from its sequence header (AV1, 5.5)."""
    bits = "".join(f"{byte:08b}" for byte in _sequence_header(extradata))
    profile, level = int(bits[:3], 2), int(bits[24:29], 2)
    # One operating point, no timing information: what SVT-AV1 writes. A tier is given above level 3.3 alone.
    tier = "H" if level > 7 and bits[29] == "1" else "M"
    return f"av01.{profile}.{level:02}{tier}.08"


def _sequence_header(extradata: bytes) -> bytes:
    kind, has_extension, has_size = extradata[0] >> 3 & 15, extradata[0] >> 2 & 1, extradata[0] >> 1 & 1
    if kind != _SEQUENCE_HEADER or has_extension or not has_size:
        raise ValueError("an AV1 encoder gave no sequence header")
    return extradata[2 : 2 + extradata[1]]
