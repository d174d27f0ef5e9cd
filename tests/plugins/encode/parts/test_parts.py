"""A film encoded in parts is the film encoded whole: the same frames, times and sound, and no seam to be seen."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import av
import pytest
from av.filter import Graph
from PIL import Image

import plugins.encode
from core import Division, Part, PartOutput, Source, StepOutput
from core.testing import Subtitles, fake_context, fake_job
from plugins.encode.parts.divide import Assignment
from plugins.media import source_file

Clip = Callable[..., Path]
Encode = Callable[..., Any]
Look = Callable[[Path], Any]

FAST = {"preset": "veryfast"}


@dataclass(frozen=True)
class Joined:
    """A film and the parts that it was made of."""

    folder: Path
    output: StepOutput
    division: Division

    @property
    def joints(self) -> list[float]:
        """Seconds of the film at which a part begins, but the first."""
        told = [Assignment.of(part) for part in self.division.parts]
        starts = [(one, one.stretch.start) for one in told if one.stretch]
        return [float(one.time(start)) for one, start in starts if start is not None]


@pytest.fixture(scope="session")
def encode_parts(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Joined]:
    """Divide a source, encode each part by itself and join them, with the JSON in between that queues would carry."""

    def run(source: Path, part_seconds: float, **options: Any) -> Joined:
        options = FAST | {"part_seconds": part_seconds} | options
        folder = tmp_path_factory.mktemp("parts")
        job = fake_job(source)
        division = plugins.encode.plugin.divide(Source(path=source), options, fake_context(folder / "divide", source))
        parts = []
        for part in Division.model_validate_json(division.to_json()).parts:
            context = fake_context(folder / part.name, source)
            made = plugins.encode.plugin.encode_part(part, options, context)
            parts.append(PartOutput.model_validate_json(made.model_copy(update={"folder": context.output}).to_json()))
        context = fake_context(folder / "join", source)
        return Joined(context.output, plugins.encode.plugin.join(job, parts, options, context), division)

    return run


def names(division: Division) -> list[str]:
    return [part.name for part in division.parts]


@dataclass(frozen=True)
class Packet:
    pts: int
    dts: int
    duration: int
    is_keyframe: bool
    data: bytes

    @property
    def stamps(self) -> tuple[int, int, int, bool]:
        return self.pts, self.dts, self.duration, self.is_keyframe


def packets(path: Path, kind: str) -> list[Packet]:
    with av.open(str(path)) as container:
        stream = next(stream for stream in container.streams if stream.type == kind)
        found = (packet for packet in container.demux(stream) if packet.size)
        return [Packet(p.pts or 0, p.dts or 0, p.duration or 0, p.is_keyframe, bytes(p)) for p in found]


@pytest.fixture(scope="module", params=["2 parts", pytest.param("5 parts", marks=pytest.mark.long)])
def pair(
    request: pytest.FixtureRequest, lecture: Any, clip: Clip, encode: Encode, encode_parts: Callable[..., Joined]
) -> tuple[Any, Joined]:
    if request.param == "2 parts":
        return lecture, encode_parts(lecture.source, 6)
    small = clip("lecture.mp4", seconds=12)
    return encode(small), encode_parts(small, 2.4)


class TestSameFilm:
    """Everything but the pictures' last bits is as in the undivided encode."""

    def test_every_frame_has_the_time_it_had(self, pair: tuple[Any, Joined]) -> None:
        whole, joined = pair
        for path in (*whole.folder.glob("*.mp4"), *whole.folder.glob("*.ts")):
            before, after = packets(path, "video"), packets(joined.folder / path.name, "video")
            assert len(after) == 300
            assert [packet.stamps for packet in after] == [packet.stamps for packet in before]
            assert all(one.dts < other.dts for one, other in pairwise(after))

    def test_the_sound_is_the_same_to_the_byte(self, pair: tuple[Any, Joined]) -> None:
        whole, joined = pair
        for name in (path.name for path in whole.films if path.suffix == ".mp4"):
            assert packets(joined.folder / name, "audio") == packets(whole.folder / name, "audio")
        assert (joined.folder / "audio_192k.mp3").read_bytes() == (whole.folder / "audio_192k.mp3").read_bytes()

    def test_the_pictures_of_the_film_are_the_same_to_the_byte_but_for_their_coding(
        self, pair: tuple[Any, Joined]
    ) -> None:
        whole, joined = pair
        assert (joined.folder / "overview.vtt").read_text() == (whole.folder / "overview.vtt").read_text()
        for name in ("overview.png", "thumbnail_0001.png", "thumbnail_0002.png", "thumbnail_0003.png"):
            assert (joined.folder / name).read_bytes() == (whole.folder / name).read_bytes()

    def test_what_is_told_of_it_is_the_same(self, pair: tuple[Any, Joined]) -> None:
        whole, joined = pair

        def about(output: StepOutput) -> list[dict[str, Any]]:
            return [artifact.model_dump(exclude={"bit_rate"}) for artifact in output.artifacts]

        assert about(joined.output) == about(whole.output)
        assert (joined.output.facts, joined.output.notes) == (whole.output.facts, whole.output.notes)
        before, after = (json.loads((one.folder / "info_video.json").read_text()) for one in (whole, joined))
        assert after.keys() == before.keys()
        assert (after["duration"], list(after["list_mp4_files"])) == (12, list(before["list_mp4_files"]))

    def test_it_decodes_without_a_warning(self, pair: tuple[Any, Joined], look: Look) -> None:
        whole, joined = pair
        for path in whole.films:
            assert look(joined.folder / path.name).faults == ()


SOURCES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "variable rate": (
        "lecture.webm",
        {"times": [n * 0.13 + 0.03 * (n % 3) for n in range(70)], "state_duration": False},
        {},
    ),
    "slides, a frame in 0.4 s": ("lecture.mkv", {"times": [n * 0.4 for n in range(24)], "seconds": 10}, {}),
    "hidden frames, long GOP": ("lecture.mp4", {"skip_frames": 30, "keyframe_every": 250, "seconds": 10}, {}),
    "late sound, late start": ("lecture.ts", {"start": 70, "audio_delay": 0.5, "seconds": 9}, {}),
    "no sound": ("lecture.mp4", {"audio": False, "seconds": 9}, {}),
    "turned": ("lecture.mov", {"rotation": 90, "seconds": 9}, {}),
    "subtitles": (
        "lecture.mkv",
        {"subtitles": (Subtitles("fr", [(1, 2, "un"), (7, 8, "deux")]),), "seconds": 9},
        {},
    ),
    "cut": ("lecture.mp4", {"seconds": 14}, {"cut_start": 2.5, "cut_end": 12.1}),
    "cut between two frames": (
        "lecture.mkv",
        {"times": [n * 0.3 for n in range(50)], "seconds": 15},
        {"cut_start": 4, "cut_end": 13.5},
    ),
}


@pytest.mark.long
def test_a_watermark_is_on_every_part(
    tmp_path: Path, clip: Clip, encode: Encode, encode_parts: Callable[..., Joined]
) -> None:
    Image.new("RGBA", (80, 20), (255, 0, 0, 255)).save(tmp_path / "logo.png")
    dressing = {"watermark": {"path": str(tmp_path / "logo.png")}}
    source = clip("lecture.mp4", seconds=9)
    whole, joined = encode(source, dressing=dressing), encode_parts(source, 3, dressing=dressing)

    assert len(joined.joints) == 2
    assert (joined.folder / "overview.png").exists() == (whole.folder / "overview.png").exists()
    for name in ("thumbnail_0001.png", "thumbnail_0003.png"):
        assert (joined.folder / name).read_bytes() == (whole.folder / name).read_bytes()


#: What the others show too, each in its way.
_SEEN_TO = ("no sound", "turned", "cut between two frames", "subtitles", "cut", "variable rate")


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.long] if kind in _SEEN_TO else []) for kind in SOURCES]
)
def test_any_source_gives_the_film_that_it_gives_whole(
    kind: str, clip: Clip, encode: Encode, encode_parts: Callable[..., Joined]
) -> None:
    name, properties, options = SOURCES[kind]
    source = clip(name, **properties)
    whole, joined = encode(source, **options), encode_parts(source, 3, **options)

    assert len(joined.joints) >= 2
    assert sorted(path.name for path in joined.folder.iterdir()) == sorted(path.name for path in whole.folder.iterdir())
    for path in sorted(whole.folder.glob("*.mp4")) + sorted(whole.folder.glob("*.ts")):
        before, after = packets(path, "video"), packets(joined.folder / path.name, "video")
        assert [packet.stamps for packet in after] == [packet.stamps for packet in before]
    for path in (*whole.folder.glob("*.png"), *whole.folder.glob("*.vtt"), *whole.folder.glob("*.mp3")):
        assert (joined.folder / path.name).read_bytes() == path.read_bytes(), path.name
    assert joined.output.facts == whole.output.facts
    assert joined.output.notes == whole.output.notes


class TestDivision:
    @pytest.fixture
    def divide(self, tmp_path: Path) -> Callable[..., Division]:
        def run(source: Path, **options: Any) -> Division:
            context = fake_context(tmp_path / "divide", source)
            return plugins.encode.plugin.divide(Source(path=source), FAST | options, context)

        return run

    def test_a_film_that_is_short_enough_is_not_divided(self, divide: Any, clip: Clip) -> None:
        assert divide(clip("lecture.mp4", seconds=12, width=1280, height=720)) == Division()

    @pytest.mark.parametrize(("profile", "joints"), [("pod", [4, 8]), ("lecture", [4, 8])])
    def test_parts_begin_on_the_profile_s_keyframes(
        self, profile: str, joints: list[float], divide: Any, clip: Clip
    ) -> None:
        division = divide(clip("lecture.mp4", seconds=12, width=1280, height=720), profile=profile, part_seconds=5)

        assert names(division) == ["p000", "p001", "p002", "sound"]
        assert Joined(Path(), StepOutput(artifacts=()), division).joints == joints
        assert sum(part.weight for part in division.parts[:3]) == pytest.approx(12, abs=0.2)

    def test_sound_alone_is_not_divided(self, divide: Any, clip: Clip) -> None:
        assert divide(clip("lecture.mp3", seconds=4), part_seconds=1) == Division()

    def test_time_stamps_that_come_twice_are_not_relied_on(self, divide: Any, clip: Clip, monkeypatch: Any) -> None:
        source = clip("lecture.mp4", seconds=12, width=1280, height=720)

        def twice(*arguments: Any) -> list[Any]:
            return [packet for one in source_file.packets(*arguments) for packet in (one, one)]

        monkeypatch.setattr("plugins.encode.parts.divide.packets", twice)
        assert divide(source, part_seconds=5) == Division()

    def test_no_part_begins_with_a_keyframe_that_follows_one(self, divide: Any, clip: Clip) -> None:
        """Of a frame a second each is a keyframe, and two on end must not have one number (H.264, 7.4.3)."""
        assert divide(clip("slides.mkv", times=list(range(8)), seconds=8), part_seconds=2) == Division()

    def test_what_a_part_is_told_survives_the_queue(self, divide: Any, clip: Clip) -> None:
        part = divide(clip("lecture.mp4", seconds=12, width=1280, height=720), part_seconds=5).parts[1]

        assert Assignment.of(Part.model_validate_json(part.to_json())) == Assignment.of(part)


# Picture quality and bit rate


def ssim(reference: Path, film: Path, folder: Path) -> list[float]:
    """Return each frame's luma SSIM, against the reference scaled to the film's size."""
    log = folder / "ssim"
    with av.open(str(reference)) as one, av.open(str(film)) as other:
        truth, made = one.streams.video[0], other.streams.video[0]
        graph = Graph()
        inputs = [graph.add_buffer(template=stream) for stream in (truth, made)]
        scale = graph.add("scale", f"{made.width}:{made.height}:flags=bicubic")
        compare = graph.add("ssim", f"stats_file={log}")
        sink = graph.add("buffersink")
        inputs[0].link_to(scale)
        for number, source in enumerate((scale, inputs[1])):
            count = graph.add("setpts", "N/TB")
            source.link_to(count)
            count.link_to(compare, 0, number)
        compare.link_to(sink)
        graph.configure()
        for frames in zip(one.decode(truth), other.decode(made), strict=True):
            for source, frame in zip(inputs, frames, strict=True):
                source.push(frame)
            list(_pull(graph))
        for source in inputs:
            source.push(None)
        list(_pull(graph))
        del graph, inputs, scale, compare, sink, count, source  # the log is written when the filter goes
    return [float(value) for value in re.findall(r"Y:([\d.]+)", log.read_text())]


def _pull(graph: Graph) -> Iterator[Any]:
    while True:
        try:
            yield graph.pull()
        except (BlockingIOError, EOFError):
            return


def decibels(values: Sequence[float]) -> float:
    return -10 * math.log10(1 - sum(values) / len(values))


def fullest_second(film: list[Packet], clock: Fraction, near: Sequence[float] | None = None) -> float:
    """Return the most bits of any second, or of any second that touches one of these times."""
    start = film[0].dts
    most = first = held = 0
    for number, packet in enumerate(film):
        held += len(packet.data) * 8
        while (packet.dts - film[first].dts) * clock >= 1:
            held -= len(film[first].data) * 8
            first += 1
        end = float((packet.dts - start) * clock)
        if near is None or any(joint - 1 <= end <= joint + 1 for joint in near):
            most = max(most, held)
        assert number >= first
    return most


def lowest_fill(film: list[Packet], clock: Fraction, rate: int) -> float:
    """Return the least that a player's buffer of one second holds, as a share of it; below 0 it has run dry."""
    fill, lowest, last = 0.9, 1.0, film[0].dts
    for packet in film:
        fill = min(fill + float((packet.dts - last) * clock), 1.0) - len(packet.data) * 8 / rate
        lowest, last = min(lowest, fill), packet.dts
    return lowest


@dataclass(frozen=True)
class Seams:
    """What parts change in a rendition; decibels of luma SSIM, bits as shares of the rate cap."""

    mean: float
    worst_joint: float
    size: float
    #: Most in any second: whole, in parts, and in parts around the joints.
    fullest: tuple[float, float, float]
    #: Whole and in parts.
    lowest_fill: tuple[float, float]

    def check(self) -> None:
        assert self.mean >= -0.1, self
        assert self.worst_joint >= -0.5, self
        assert self.lowest_fill[1] >= 0, self
        # x264 meets its cap not quite alike each time, where several threads encode
        assert self.fullest[2] <= max(self.fullest[0], 1.2) + 0.05, self


def seams(whole: Path, joined: Joined, source: Path, name: str, max_rate: int) -> Seams:
    with av.open(str(whole / name)) as container:
        clock = cast("Fraction", container.streams.video[0].time_base)
    before, after = packets(whole / name, "video"), packets(joined.folder / name, "video")
    assert [packet.stamps for packet in after] == [packet.stamps for packet in before]
    once, twice = (ssim(source, folder / name, joined.folder.parent) for folder in (whole, joined.folder))
    behind = [slice(round(joint * 25), round((joint + 2) * 25)) for joint in joined.joints]
    return Seams(
        mean=decibels(twice) - decibels(once),
        worst_joint=min(decibels(twice[part]) - decibels(once[part]) for part in behind),
        size=sum(len(p.data) for p in after) / sum(len(p.data) for p in before),
        fullest=(
            fullest_second(before, clock) / max_rate,
            fullest_second(after, clock) / max_rate,
            fullest_second(after, clock, joined.joints) / max_rate,
        ),
        lowest_fill=(lowest_fill(before, clock, max_rate), lowest_fill(after, clock, max_rate)),
    )


def camera(path: Path, seconds: int, size: str) -> Path:
    """Noise that moves everywhere: the encoder runs into its cap all the time."""
    generator = Graph()
    source = generator.add("mandelbrot", f"size={size}:rate=25:end_scale=0.02:end_pts=4000")
    noise = generator.add("noise", "alls=12:allf=t:all_seed=7")
    shape = generator.add("format", "yuv420p")
    generator.link_nodes(source, noise, shape, generator.add("buffersink")).configure()
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", 25, options={"preset": "superfast", "crf": "24"})
        stream.width, stream.height = map(int, size.split("x"))
        stream.pix_fmt = "yuv420p"
        for _ in range(seconds * 25):
            frame = cast("av.VideoFrame", generator.pull())
            frame.pict_type = av.video.frame.PictureType.NONE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_parts_of_a_film_of_slides_leave_out_the_frames_that_the_undivided_encode_leaves_out(
    tmp_path: Path, ffmpeg: Callable[..., None], encode: Encode, encode_parts: Callable[..., Joined], look: Look
) -> None:
    source = tmp_path / "slides.mkv"
    ffmpeg(*("-f", "lavfi", "-i", "testsrc=size=160x90:rate=1:duration=8"), *("-vf", "fps=25", "-c:v", "ffv1", source))
    whole = encode(source, profile="lecture")
    joined = encode_parts(source, 4, profile="lecture")
    one, other = look(whole.folder / "90p.mp4"), look(joined.folder / "90p.mp4")
    assert joined.joints == [4]
    assert (other.times, other.keyframes, other.faults) == (one.times, one.keyframes, ())
    assert joined.output.facts == whole.output.facts


@pytest.mark.long
def test_no_seam_is_seen_and_the_rate_cap_holds_where_the_encoder_is_at_it(
    tmp_path: Path, encode: Encode, encode_parts: Callable[..., Joined]
) -> None:
    source = camera(tmp_path / "camera.mp4", 8, "640x360")
    whole = encode(source)

    joined = encode_parts(source, 4)

    assert len(joined.joints) == 1
    seams(whole.folder, joined, source, "360p.ts", 1_000_000).check()


@pytest.mark.long
def test_no_seam_is_seen_in_films_of_production(
    tmp_path: Path, encode: Encode, encode_parts: Callable[..., Joined], look: Look
) -> None:
    """Both profiles with their own presets, two and five parts of a minute's film."""
    source = camera(tmp_path / "camera.mp4", 60, "1280x720")
    for profile, preset in (("pod", "slow"), ("lecture", "veryfast")):
        whole = encode(source, profile=profile, preset=preset)
        for parts in (2, 5):
            joined = encode_parts(source, 60 / parts, profile=profile, preset=preset)
            assert len(joined.joints) == parts - 1
            for name, max_rate in (("360p.ts", 1_000_000), ("720p.ts", 3_000_000)):
                found = seams(whole.folder, joined, source, name, max_rate)
                print(profile, parts, name, found)  # noqa: T201 - the figures are what a long test is for
                found.check()
            assert all(look(joined.folder / name).faults == () for name in ("720p.mp4", "720p.m3u8"))
