"""What was aimed at and what it saves, for the manifest and, in a line, for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plugins.encode.output.package import Encoded
    from plugins.encode.quality.aim import Aim

#: Decibels below the aim that nobody sees, and that samples can't tell.
_TOLERANCE = 0.1


def report(aims: Sequence[Aim], renditions: Sequence[Encoded]) -> dict[str, Any]:
    """Return the facts `quality` and `summary`, if there was an aim."""
    known = {aim.rendition: aim for aim in aims}
    told = [(encoded, known[encoded.rendition.name]) for encoded in renditions if encoded.rendition.name in known]
    if not told:
        return {}
    # Esup-Pod encodes what it offers as a file twice: once for it, once to be streamed.
    pods = sum(aim.pod_cpu * (2 if encoded.mp4 else 1) for encoded, aim in told)
    work = sum(aim.cpu for _, aim in told) / pods
    size = sum(aim.bytes for _, aim in told) / sum(aim.pod_bytes for _, aim in told)
    quality = {
        "renditions": {aim.rendition: _rendition(encoded, aim) for encoded, aim in told},
        "of_pod_work": round(work, 2),
        "of_pod_bytes": round(size, 2),
        "cpu_seconds": round(sum(aim.looking for _, aim in told), 1),
    }
    missing = max(max(a.target.ssim - a.expected.ssim, a.target.xpsnr - a.expected.xpsnr) for _, a in told)
    looks = "as good as Pod's" if missing <= _TOLERANCE else f"within {missing:.1f} dB of Pod's"
    summary = f"by samples expected {looks}, {work:.0%} of its encoding work, {size:.0%} of its bytes"
    return {"quality": quality, "summary": summary}


def _rendition(encoded: Encoded, aim: Aim) -> Mapping[str, Any]:
    return {
        "crf": aim.crf,
        "preset": aim.preset,
        "ssim": {"aimed": round(aim.target.ssim, 2), "expected": round(aim.expected.ssim, 2)},
        "xpsnr": {"aimed": round(aim.target.xpsnr, 2), "expected": round(aim.expected.xpsnr, 2)},
        "bytes": encoded.segments.stat().st_size,
        "of_pod_bytes": round(aim.bytes / aim.pod_bytes, 2),
        "of_pod_cpu": round(aim.cpu / aim.pod_cpu, 2),
    }
