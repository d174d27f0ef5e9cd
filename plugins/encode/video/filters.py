"""Between decoder and scaler: what a picture goes through before it is the film's. Most films need none of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from av.filter import Graph

from plugins.encode.dressing import draw_logo, logo_place
from plugins.encode.video.tonemap import TO_SIGNAL, is_wide, write_table
from plugins.media.decoding import Damaged, damage

if TYPE_CHECKING:
    from av.filter.context import FilterContext
    from av.video.frame import VideoFrame

    from plugins.encode.film import Scene
    from plugins.encode.source.video_track import VideoTrack

#: One of libavfilter's filters and its arguments.
Step = tuple[str, str | None]

#: From this height on a picture without tags is taken as BT.709, below as BT.601.
HD_HEIGHT = 720

_TURNS: dict[int, list[Step]] = {
    0: [],
    90: [("transpose", "clock")],
    180: [("hflip", None), ("vflip", None)],
    270: [("transpose", "cclock")],
}

#: libswscale's names of the matrices of ISO/IEC 23091-2.
_MATRICES = {1: "bt709", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020"}


class Filters:
    """A chain of filters, set up anew when the pictures change their form."""

    def __init__(self, steps: Sequence[Step], logo: VideoFrame | None = None) -> None:
        self._steps = steps
        #: Lies over the pictures as the last step says.
        self._logo = logo
        self._graph: Graph | None = None
        self._form: tuple[object, ...] | None = None

    def put(self, frame: VideoFrame) -> Iterator[VideoFrame]:
        """Yield what is ready; a deinterlacer holds one picture back. Raises Damaged for a frame of no use."""
        form = (frame.width, frame.height, frame.format.name, frame.colorspace, frame.color_range)
        if self._graph is None or form != self._form:
            yield from self.flush()
            with damage():
                self._form, self._graph = form, self._set_up(frame)
        with damage():
            self._graph.vpush(frame) if self._logo is None else self._source.push(frame)
        yield from _ready(self._graph)

    def flush(self) -> Iterator[VideoFrame]:
        """Yield what is left."""
        if self._graph:
            self._source.push(None)
            yield from _ready(self._graph)
        self._graph = None

    def _set_up(self, frame: VideoFrame) -> Graph:
        graph = Graph()
        self._source = _buffer(graph, frame)
        nodes = [graph.add(name, arguments) for name, arguments in self._steps]
        graph.link_nodes(self._source, *nodes, graph.add("buffersink"))
        if self._logo:
            logo, unit = self._logo, frame.time_base
            logo.pts, logo.time_base = 0, unit
            source = _buffer(graph, logo)
            source.link_to(nodes[-1], 0, 1)
            graph.configure()
            source.push(logo)
            source.push(None)
        else:
            graph.configure()
        return graph


def _buffer(graph: Graph, frame: VideoFrame) -> FilterContext:
    # As `Graph.add_buffer`, which leaves the colour out.
    arguments = (
        f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:time_base={frame.time_base}"
        f":colorspace={int(frame.colorspace)}:range={int(frame.color_range)}"
    )
    return graph.add("buffer", arguments)


def _ready(graph: Graph) -> Iterator[VideoFrame]:
    while True:
        try:
            with damage():
                frame = graph.vpull()
        except Damaged as error:
            if isinstance(error.__cause__, BlockingIOError | EOFError):
                return
            raise
        yield frame


def filters_for(scene: Scene, frame: VideoTrack, workdir: Path) -> Filters | None:
    """Return what makes a scene's pictures those of a film whose frame is given; None if they are already.

    :param workdir: where a table of colours may be written.
    """
    track = scene.media.video
    assert track
    steps = upright(track, workdir)
    if scene.fit:
        steps += fitting(track, (frame.width // 2 * 2, frame.height // 2 * 2), matrix_of(frame))
    logo = None
    if scene.watermark:
        if not scene.fit:
            steps += _square(track)
        logo = draw_logo(scene.watermark, track.height, scene.media.settings)
        steps.append(("overlay", logo_place(scene.watermark, track.height)))
    return Filters(steps, logo) if steps else None


def upright(track: VideoTrack, workdir: Path) -> list[Step]:
    """Say how a track's pictures become whole, upright and of colours that a screen has."""
    steps = [*_deinterlace(track), *_turn(track)]
    return steps + _to_bt709(track, workdir) if is_wide(track.colour) else steps


def matrix_of(track: VideoTrack) -> str:
    """Name the matrix by which a track's colours are to be read, as far as filters hand it on."""
    if is_wide(track.colour):
        return "bt709"
    return _MATRICES.get(track.colour.matrix, "bt709" if track.height >= HD_HEIGHT else "smpte170m")


def _deinterlace(track: VideoTrack) -> list[Step]:
    match track.fields:
        case "progressive":
            return []
        case "flagged":
            return [("bwdif", "mode=send_frame:deint=interlaced")]
        case first:
            return [("bwdif", f"mode=send_frame:deint=all:parity={first}")]


def _turn(track: VideoTrack) -> list[Step]:
    mirror: list[Step] = [("hflip", None)] if track.is_mirrored else []
    return mirror + _TURNS[track.turn]


def _to_bt709(track: VideoTrack, workdir: Path) -> list[Step]:
    table = workdir / f"colours-{track.colour.primaries}-{track.colour.transfer}.cube"
    if not table.exists():
        write_table(track.colour, table)
    name = str(table).replace("\\", "\\\\").replace("'", "\\'").replace(":", "\\:")
    return [
        ("scale", "in_color_matrix=bt2020"),
        ("format", "gbrp16le"),
        ("lut3d", f"file={name}:interp=tetrahedral"),
        ("lutrgb", TO_SIGNAL),
        ("scale", "out_color_matrix=bt709:out_range=tv"),
        ("format", "yuv420p"),
        ("setparams", "color_primaries=bt709:color_trc=bt709"),
    ]


def _square(track: VideoTrack) -> list[Step]:
    """Square the pixels and bring them to 8 bits, so that a logo keeps its form and its colours."""
    matrix = matrix_of(track)
    size = f"w={track.width}:h={track.height}:" if track.pixel_aspect != 1 else ""
    return [
        ("scale", f"{size}flags=bicubic:in_color_matrix={matrix}:out_color_matrix={matrix}:out_range=tv"),
        ("format", "yuv420p"),
    ]


def fitting(track: VideoTrack, size: tuple[int, int], matrix: str) -> list[Step]:
    """Bring a picture into a frame of even size, whole, with black beside or above it."""
    width, height = size
    scale = min(width / track.width, height / track.height)
    inner = max(round(track.width * scale / 2) * 2, 2), max(round(track.height * scale / 2) * 2, 2)
    matrices = f"in_color_matrix={matrix_of(track)}:out_color_matrix={matrix}"
    return [
        ("scale", f"w={inner[0]}:h={inner[1]}:flags=bicubic:{matrices}:out_range=tv"),
        ("format", "yuv420p"),
        ("setsar", "1"),
        ("pad", f"w={width}:h={height}:x=(ow-iw)/2:y=(oh-ih)/2"),
    ]
