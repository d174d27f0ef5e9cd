"""What was aimed at and what it saves, for the manifest and, in a line, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plugins.encode.output.package import Encoded
    from plugins.encode.quality.aim import Aim
    from plugins.encode.quality.metrics import Score

#: Decibels below the aim that nobody sees, and that samples can't tell.
_TOLERANCE = 0.1


def report(aims: Sequence[Aim], renditions: Sequence[Encoded], reached: Mapping[str, Score]) -> dict[str, Any]:
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
        "renditions": {
            aim.rendition: _rendition(encoded, aim, reached.get(aim.rendition, aim.expected)) for encoded, aim in told
        },
        "of_pod_work": round(work, 2),
        "of_pod_bytes": round(size, 2),
        "cpu_seconds": round(sum(aim.looking for _, aim in told), 1),
    }
    missing = max(aim.missing_of(reached.get(aim.rendition, aim.expected)) for _, aim in told)
    looks = "as good as Pod's" if missing <= _TOLERANCE else f"within {missing:.1f} dB of Pod's"
    summary = f"at the samples {looks}, {work:.0%} of its encoding work, {size:.0%} of its bytes"
    return {"quality": quality, "summary": summary}


def missed(aims: Sequence[Aim], reached: Mapping[str, Score]) -> Iterator[str]:
    """Say which renditions are not as good as they were to be."""
    for aim in aims:
        missing = aim.missing_of(reached.get(aim.rendition, aim.expected))
        if missing > _TOLERANCE:
            yield f"{aim.rendition} is {missing:.1f} dB below its aim where samples were taken"


def _rendition(encoded: Encoded, aim: Aim, reached: Score) -> Mapping[str, Any]:
    return {
        "crf": aim.crf,
        "preset": aim.preset,
        "ssim": _figures(aim.target.ssim, aim.expected.ssim, reached.ssim),
        "xpsnr": _figures(aim.target.xpsnr, aim.expected.xpsnr, reached.xpsnr),
        "bytes": encoded.segments.stat().st_size,
        "of_pod_bytes": round(aim.bytes / aim.pod_bytes, 2),
        "of_pod_cpu": round(aim.cpu / aim.pod_cpu, 2),
    }


def _figures(aimed: float, expected: float, reached: float) -> Mapping[str, float]:
    return {"aimed": round(aimed, 2), "expected": round(expected, 2), "reached": round(reached, 2)}
