"""How near a film comes to its source: luma SSIM and XPSNR in decibels, frame by frame."""

from __future__ import annotations

import gc
import math
import re
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.filter import Graph
from av.filter.context import FilterContext
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter


def judge(source: Path, film: Path) -> tuple[float, float]:
    """Return SSIM and XPSNR of a film's luma against its source, scaled to its size by the bicubic filter.

    :raises ValueError: the two have not as many frames.
    """
    with tempfile.TemporaryDirectory() as folder:
        _compare(source, film, Path(folder))
        gc.collect()  # the filters write their last line when they go
        values = re.findall(r" Y:([\d.]+)", (Path(folder) / "ssim").read_text())
        average = re.search(r"average.* y: *([\d.]+)", (Path(folder) / "xpsnr").read_text())
        assert average
        return -10 * math.log10(1 - sum(map(float, values)) / len(values)), float(average[1])


def _compare(source: Path, film: Path, folder: Path) -> None:
    inputs: list[FilterContext] = []
    scaler = VideoReformatter()
    for number, (wanted, frame) in enumerate(zip(_frames(source), _frames(film), strict=True)):
        reference = scaler.reformat(
            wanted, frame.width, frame.height, "yuv420p", interpolation=Interpolation.BICUBIC, threads=1
        )
        if not inputs:
            graph, inputs = _filters(frame, folder)
        for entry, picture in zip(inputs, (frame, reference), strict=True):
            picture.pts, picture.time_base = number, Fraction(1, 25)
            entry.push(picture)
        graph.vpull()


def _filters(frame: VideoFrame, folder: Path) -> tuple[Graph, list[FilterContext]]:
    graph = Graph()
    film, reference = (
        graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 25))
        for _ in range(2)
    )
    split = graph.add("split")
    ssim = graph.add("ssim", f"stats_file={folder / 'ssim'}")
    xpsnr = graph.add("xpsnr", f"stats_file={folder / 'xpsnr'}")
    film.link_to(ssim, 0, 0)
    reference.link_to(split)
    split.link_to(ssim, 0, 1)
    ssim.link_to(xpsnr, 0, 0)
    split.link_to(xpsnr, 1, 1)
    xpsnr.link_to(graph.add("buffersink"))
    graph.configure()
    return graph, [film, reference]


def _frames(path: Path) -> Iterator[VideoFrame]:
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        yield from container.decode(video=0)
