"""For the tests of plugin authors: clips with any property, and a context without a host.

    from core.testing import fake_context, fake_job, make_clip

    def test_my_encoder(tmp_path):
        clip = make_clip(tmp_path / "lecture.mp4", seconds=3, rotation=90)
        context = fake_context(tmp_path / "job", clip)
        output = my_plugin.encode(fake_job(clip), Source(path=clip), {}, context)

Clips need PyAV and Pillow (`pip install 'amphipod[encode]'`); this module imports them when a clip is asked for.
Every picture carries its own number, which `frame_number` reads again after scaling and encoding.
"""

from __future__ import annotations

import array
import math
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from core.context import Context, Progress
from core.model import Job, Manifest, ManifestStep, Source, State

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.container import OutputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream
    from PIL import Image

#: Columns and rows of black and white patches that spell a picture's number, in the left half of the picture.
_PATCHES = (4, 4)

#: Video codec, its options, and audio codec by suffix. Fast, not small.
_X264 = ("libx264", {"preset": "ultrafast", "tune": "zerolatency", "crf": "18"})
_CODECS: dict[str, tuple[tuple[str, dict[str, str]] | None, str]] = {
    ".mp4": (_X264, "aac"),
    ".mov": (_X264, "aac"),
    ".mkv": (_X264, "aac"),
    ".ts": (_X264, "aac"),
    ".avi": (("mpeg4", {"qscale": "2"}), "libmp3lame"),
    ".webm": (("libvpx", {"deadline": "realtime", "cpu-used": "8", "crf": "10"}), "libopus"),
    ".mp3": (None, "libmp3lame"),
    ".m4a": (None, "aac"),
    ".ogg": (None, "libopus"),
    ".flac": (None, "flac"),
    ".wav": (None, "pcm_s16le"),
}


@dataclass(frozen=True)
class Subtitles:
    """An embedded subtitle track; cues are (start, end, text) in seconds. For .mkv, and .mp4 with "mov_text"."""

    language: str
    cues: Sequence[tuple[float, float, str]]
    codec: str = "subrip"


def fake_job(source: Path, **fields: Any) -> Job:
    """Return a job of one source that asks for `encode`; any field of `Job` can be given."""
    return Job(**({"id": "test", "sources": (Source(path=source),), "steps": ("encode",)} | fields))


def fake_context(
    folder: Path,
    source: Path = Path("lecture.mp4"),
    *,
    step: str = "encode",
    steps: dict[str, ManifestStep] | None = None,
    published: Path | None = None,
    threads: int = 0,
    report: Callable[[Progress], None] = lambda progress: None,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> Context:
    """Return a context whose folders lie in `folder`, which is made.

    :param steps: what the steps before have made, for the manifest.
    :param published: where the files would finally lie; `context.output` unless given.
    """
    workdir, output = folder / "work", folder / "out"
    workdir.mkdir(parents=True)
    output.mkdir()
    context = Context(
        step=step,
        attempt=1,
        workdir=workdir,
        output=output,
        published=(published or output).absolute(),
        manifest=Manifest(job=fake_job(source), state=State.RUNNING, run=1, steps=steps or {}),
        job_folder=folder,
        log=structlog.get_logger(),
        threads=threads,
        report=report,
        is_cancelled=is_cancelled,
    )
    context.kept.mkdir(parents=True)
    return context


def make_clip(
    path: Path,
    *,
    seconds: float = 2,
    width: int = 320,
    height: int = 180,
    pix_fmt: str = "",
    rate: int = 25,
    video: bool = True,
    audio: bool = True,
    sample_rate: int = 48_000,
    channels: int = 2,
    times: Sequence[float] | None = None,
    keyframe_every: int = 50,
    start: float = 0,
    audio_delay: float = 0,
    rotation: int = 0,
    skip_frames: int = 0,
    state_duration: bool = True,
    cover: bool = False,
    subtitles: Sequence[Subtitles] = (),
) -> Path:
    """Write a clip of numbered pictures and a tone of 440 Hz, and return its path; the suffix says which kind.

    :param pix_fmt: libav's name of a pixel format; yuv420p unless given, or yuv444p for odd sizes.
    :param times: seconds of each picture, for a variable frame rate; `rate` is then what the file claims.
    :param keyframe_every: frames between keyframes.
    :param start: time stamp of the beginning.
    :param audio_delay: seconds by which the sound begins after the picture.
    :param rotation: degrees clockwise by which a player must turn the picture (.mp4 and .mov).
    :param skip_frames: pictures at the beginning that an edit list hides (.mp4 and .mov).
    :param state_duration: False leaves the duration out of the header, as a browser's recorder does (.webm and .mkv).
    :param cover: attach a red picture of 300x300 (.mp3, .m4a and .mp4).
    """
    import av

    video_codec, audio_codec = _CODECS[path.suffix]
    options = {} if state_duration else {"live": "1"}
    # libav's muxer for .m4a refuses the picture that iTunes puts there.
    kind = "mp4" if path.suffix == ".m4a" else None
    with av.open(str(path), "w", format=kind, container_options=options) as container:
        packets: list[Iterator[Packet[Any]]] = []
        if video and video_codec:
            stamps = times or [number / rate for number in range(round(seconds * rate))]
            # x264 takes odd sizes only where the chroma has as many pixels as the luma.
            pix_fmt = pix_fmt or ("yuv420p" if width % 2 == height % 2 == 0 else "yuv444p")
            stream = container.add_stream(
                video_codec[0], rate, options=video_codec[1], width=width, height=height, pix_fmt=pix_fmt
            )
            assert isinstance(stream, av.VideoStream)
            stream.codec_context.gop_size = keyframe_every
            packets.append(_encoded(stream, _pictures(stream, stamps, rate, start)))
        if audio:
            packets.append(_audio(container, audio_codec, seconds, sample_rate, channels, start + audio_delay))
        if cover:
            packets.append(_cover(container))
        packets += [_subtitles(container, track, start) for track in subtitles]
        for packet in _interleave(packets):
            container.mux_one(packet)
    if rotation or skip_frames:
        data = bytearray(path.read_bytes())
        _edit_mp4(data, rotation, skip_frames, rate)
        path.write_bytes(data)
    return path


def frame_number(image: Image.Image, turned: int = 0) -> int:
    """Read the number that a picture of a clip carries.

    :param turned: degrees counter-clockwise by which to turn the picture before.
    """
    upright = image.rotate(turned, expand=True).convert("L")
    columns, rows = _PATCHES
    bits = 0
    for row in range(rows):
        for column in range(columns):
            x = int((column + 0.5) * upright.width / 2 / columns)
            y = int((row + 0.5) * upright.height / rows)
            value = upright.getpixel((x, y))
            assert isinstance(value, int)
            bits = bits << 1 | (value > 127)
    return bits


def draw_frame(number: int, width: int, height: int) -> Image.Image:
    """Draw picture `number` of a clip: the number in black and white on the left, a moving bar on the right."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (width, height), (40, 90, 140))
    draw = ImageDraw.Draw(image)
    columns, rows = _PATCHES
    for row in range(rows):
        for column in range(columns):
            bit = number >> (columns * rows - 1 - row * columns - column) & 1
            corner = column * width // 2 // columns, row * height // rows
            opposite = (column + 1) * width // 2 // columns - 1, (row + 1) * height // rows - 1
            draw.rectangle((corner, opposite), fill=(255, 255, 255) if bit else (0, 0, 0))
    top = number * 3 % height
    draw.rectangle((width // 2, top, width - 1, top + height // 8), fill=(230, 160, 30))
    return image


def _pictures(stream: VideoStream, stamps: Sequence[float], rate: int, start: float) -> Iterator[VideoFrame]:
    import av

    # MPEG-4 allows no finer clock than 1/65535.
    clock = Fraction(1, rate) if stream.codec_context.name == "mpeg4" else Fraction(1, 90_000)
    stream.codec_context.time_base = clock
    for number, stamp in enumerate(stamps):
        picture = draw_frame(number, stream.codec_context.width, stream.codec_context.height)
        frame = av.VideoFrame.from_image(picture)  # type: ignore[no-untyped-call]
        frame.pts, frame.time_base = round((start + stamp) / clock), clock
        after = stamps[number + 1] if number + 1 < len(stamps) else stamp + 1 / rate
        frame.duration = round((after - stamp) / clock)
        yield frame


def _audio(
    container: OutputContainer, codec: str, seconds: float, sample_rate: int, channels: int, start: float
) -> Iterator[Packet[Any]]:
    import av

    stream = container.add_stream(codec, sample_rate)
    assert isinstance(stream, av.AudioStream)
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[channels]
    stream.codec_context.layout = layout

    # The tone repeats after this many samples.
    period = sample_rate // math.gcd(440, sample_rate)
    wave = [round(8000 * math.sin(math.tau * 440 * n / sample_rate)) for n in range(period)]
    total, size = round(seconds * sample_rate), 1024
    tone = array.array("h", (value for value in wave for _ in range(channels))).tobytes() * (size // period + 2)

    def frames() -> Iterator[AudioFrame]:
        for first in range(0, total, size):
            frame = av.AudioFrame("s16", layout, min(size, total - first))
            offset = first % period * channels * 2
            frame.planes[0].update(tone[offset : offset + frame.planes[0].buffer_size])
            frame.sample_rate = sample_rate
            frame.time_base = Fraction(1, sample_rate)
            frame.pts = first + round(start * sample_rate)
            yield frame

    return _encoded(stream, frames())


def _encoded(stream: Any, frames: Iterable[VideoFrame | AudioFrame]) -> Iterator[Packet[Any]]:
    for frame in frames:
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _cover(container: OutputContainer) -> Iterator[Packet[Any]]:
    import av
    from av.stream import Disposition
    from PIL import Image

    stream = container.add_stream("mjpeg", 1, width=300, height=300, pix_fmt="yuvj420p")
    stream.disposition = Disposition.attached_pic
    frame = av.VideoFrame.from_image(Image.new("RGB", (300, 300), (200, 20, 20)))  # type: ignore[no-untyped-call]
    return _encoded(stream, [frame])


def _subtitles(container: OutputContainer, track: Subtitles, start: float) -> Iterator[Packet[Any]]:
    import av

    stream = container.add_mux_stream(track.codec)
    stream.time_base = Fraction(1, 1000)
    stream.metadata["language"] = track.language
    return (_cue(stream, track.codec, begin + start, end + start, text, av.Packet) for begin, end, text in track.cues)


def _cue(
    stream: Stream, codec: str, begin: float, end: float, text: str, new_packet: Callable[[bytes], Packet[Any]]
) -> Packet[Any]:
    data = text.encode(errors="surrogateescape")
    packet = new_packet(struct.pack(">H", len(data)) + data if codec == "mov_text" else data)
    packet.stream = stream
    packet.time_base = Fraction(1, 1000)
    packet.pts = packet.dts = round(begin * 1000)
    packet.duration = round((end - begin) * 1000)
    packet.is_keyframe = True
    return packet


def _interleave(tracks: Iterable[Iterator[Packet[Any]]]) -> Iterator[Packet[Any]]:
    """Merge by decoding time; each track is in order already."""
    heads = [(track, packet) for track in tracks if (packet := next(track, None))]
    while heads:
        earliest = min(heads, key=lambda head: (head[1].dts or 0) * head[1].time_base)
        yield earliest[1]
        heads.remove(earliest)
        if following := next(earliest[0], None):
            heads.append((earliest[0], following))


# ISO/IEC 14496-12: the matrix and the edit list that libav's muxer doesn't write for us.

_MATRICES = {
    90: (0, 1, 0, -1, 0, 0, 0, 0, 1),
    180: (-1, 0, 0, 0, -1, 0, 0, 0, 1),
    270: (0, -1, 0, 1, 0, 0, 0, 0, 1),
}


def _boxes(data: bytes | bytearray, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield each box's kind and the first and last position of what it holds."""
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, start)
        yield kind, start + 8, start + size
        start += size


def _find(data: bytes | bytearray, start: int, end: int, *path: bytes) -> tuple[int, int]:
    for kind, first, last in _boxes(data, start, end):
        if kind == path[0]:
            return _find(data, first, last, *path[1:]) if path[1:] else (first, last)
    raise LookupError(b"/".join(path).decode())


def _edit_mp4(data: bytearray, rotation: int, skip_frames: int, rate: int) -> None:
    moov = _find(data, 0, len(data), b"moov")
    movie_clock = struct.unpack_from(">I", data, _find(data, *moov, b"mvhd")[0] + 12)[0]
    for kind, first, last in _boxes(data, *moov):
        if kind != b"trak" or data[_find(data, first, last, b"mdia", b"hdlr")[0] + 8 :][:4] != b"vide":
            continue
        if rotation:
            units = (1 << 16, 1 << 16, 1 << 30) * 3
            matrix = (value * unit for value, unit in zip(_MATRICES[rotation], units, strict=True))
            struct.pack_into(">9i", data, _find(data, first, last, b"tkhd")[0] + 40, *matrix)
        if skip_frames:
            media_clock = struct.unpack_from(">I", data, _find(data, first, last, b"mdia", b"mdhd")[0] + 12)[0]
            entry = _find(data, first, last, b"edts", b"elst")[0] + 8
            length, begin = struct.unpack_from(">Ii", data, entry)
            hidden = Fraction(skip_frames, rate)
            edit = length - round(hidden * movie_clock), begin + round(hidden * media_clock)
            struct.pack_into(">Ii", data, entry, *edit)
