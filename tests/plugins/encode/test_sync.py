"""Sound stays with the picture, whatever a recorder has done to their clocks: a flash and a beep."""

from __future__ import annotations

import array
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

Clip = Callable[..., Path]
Encode = Callable[..., Any]
Ffmpeg = Callable[..., None]
Watch = Callable[[Path], list[tuple[float, Image.Image]]]


SAMPLE_RATE, SAMPLES = 48_000, 960


def make_beeps(
    path: Path,
    seconds: float,
    *,
    rate: int = 25,
    stamps: Callable[[float], float] = lambda time: time,
    missing: tuple[float, float] = (0, 0),
    beeps: Sequence[float] = (1.0, 3.0),
) -> Path:
    """Write a film that flashes and beeps for a fifth of a second at given times.

    :param stamps: what a faulty recorder writes for a time of the sound.
    :param missing: seconds of sound that never came.
    """
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate, options={"preset": "ultrafast"}, width=64, height=36)
        video.codec_context.time_base = Fraction(1, 1000)
        audio = container.add_stream("libopus" if path.suffix == ".mkv" else "aac", SAMPLE_RATE)
        audio.codec_context.layout = "mono"
        # Merged by hand, so that a recorder's faults stay as they are.
        tracks = [flashes(video, seconds, rate, beeps), tones(audio, seconds, beeps, stamps, missing)]
        heads = {track: packet for track in tracks if (packet := next(track, None))}
        while heads:
            track = min(heads, key=lambda one: float((heads[one].dts or 0) * heads[one].time_base))
            container.mux_one(heads.pop(track))
            if packet := next(track, None):
                heads[track] = packet
    return path


def is_loud(time: float, beeps: Sequence[float]) -> bool:
    return any(beep <= time + 1e-6 < beep + 0.2 for beep in beeps)


def flashes(stream: Any, seconds: float, rate: int, beeps: Sequence[float]) -> Iterator[Any]:
    for number in range(round(seconds * rate)):
        shade = (255, 255, 255) if is_loud(number / rate, beeps) else (0, 0, 0)
        frame = av.VideoFrame.from_image(Image.new("RGB", (64, 36), shade))  # type: ignore[no-untyped-call]
        frame.pts, frame.time_base = round(number * 1000 / rate), Fraction(1, 1000)
        yield from stream.encode(frame)
    yield from stream.encode(None)


def tones(
    stream: Any,
    seconds: float,
    beeps: Sequence[float],
    stamps: Callable[[float], float],
    missing: tuple[float, float],
) -> Iterator[Any]:
    loud, quiet = (array.array("h", [round(level * math.sin(n * 0.13)) for n in range(SAMPLES)]) for level in (9000, 0))
    frames: list[Any] = []
    for first in range(0, round(seconds * SAMPLE_RATE), SAMPLES):
        frame = av.AudioFrame("s16", "mono", SAMPLES)
        frame.planes[0].update((loud if is_loud(first / SAMPLE_RATE, beeps) else quiet).tobytes())
        frame.sample_rate, frame.time_base, frame.pts = SAMPLE_RATE, Fraction(1, SAMPLE_RATE), first
        frames.append(frame)
    for frame in itertools.chain(frames, [None]):
        for packet in stream.encode(frame):
            time = float((packet.pts or 0) * packet.time_base)
            if not missing[0] <= time < missing[1]:
                packet.pts = packet.dts = round(stamps(time) / packet.time_base)
                yield packet


def offsets(film: Path, watch: Watch, beeps: Sequence[float]) -> list[float]:
    """Return by how many seconds each beep comes after its flash."""
    lit = [time for time, image in watch(film) if image.getpixel((5, 5))[0] > 128]  # type: ignore[index]
    loud: list[float] = []
    with av.open(str(film)) as container:
        resampler = av.AudioResampler("s16", "mono", 8_000)
        start: float | None = None
        count = 0
        for frame in container.decode(audio=0):
            start = float(frame.time or 0) if start is None else start
            for ready in resampler.resample(frame):
                samples = array.array("h", bytes(ready.planes[0])[: ready.samples * 2])
                loud += [start + (count + n) / 8_000 for n, value in enumerate(samples) if abs(value) > 2000]
                count += ready.samples
    return [
        min(time for time in loud if time > beep - 0.6) - min(time for time in lit if time > beep - 0.6)
        for beep in beeps
    ]


BEEPS = (1.0, 3.0)


def test_sound_that_is_missing_in_mid_film_leaves_a_silence(tmp_path: Path, encode: Encode, watch: Watch) -> None:
    source = make_beeps(tmp_path / "gap.mkv", 5, missing=(1.6, 2.4))
    for film in encode(source).films:
        assert offsets(film, watch, BEEPS) == [pytest.approx(0, abs=0.04)] * 2, film.name


@pytest.mark.long
def test_a_recorder_whose_sound_runs_fast_is_kept_in_step(tmp_path: Path, encode: Encode, watch: Watch) -> None:
    """By 3 %, as when frames were lost: without care the second beep would come 90 ms early."""
    source = make_beeps(tmp_path / "drift.mkv", 5, stamps=lambda time: time * 1.03, beeps=(1.0, 3.2))
    shifted = make_beeps(tmp_path / "plain.mkv", 5, beeps=(1.0, 3.2))
    assert offsets(encode(shifted).films[0], watch, (1.0, 3.2)) == [pytest.approx(0, abs=0.04)] * 2
    found = offsets(encode(source).films[0], watch, (1.0, 3.2))
    # The stamps say that the sound of second 3.2 belongs to 3.296.
    assert found == [pytest.approx(0.03, abs=0.04), pytest.approx(0.096, abs=0.04)]


def test_a_clock_that_leaps_is_mended(tmp_path: Path, encode: Encode, watch: Watch, look: Any, ffmpeg: Ffmpeg) -> None:
    """Two takes of one recorder laid end to end: the second one's clock begins far away."""
    first, second = make_beeps(tmp_path / "1.ts", 5), tmp_path / "2.ts"
    ffmpeg("-i", first, "-c", "copy", "-output_ts_offset", "5000", second)
    source = tmp_path / "both.ts"
    source.write_bytes(first.read_bytes() + second.read_bytes())
    made = encode(source)
    assert made.output.facts["duration"] == pytest.approx(10, abs=0.15)
    for film in made.films:
        assert look(film).faults == ()
        assert len(look(film).frames) == pytest.approx(250, abs=2)
        assert offsets(film, watch, (1.0, 3.0, 6.0, 8.0)) == [pytest.approx(0, abs=0.04)] * 4


@pytest.mark.long
@pytest.mark.parametrize("missing", [(0.0, 0.0), (600.0, 1800.0)])
def test_after_an_hour_the_sound_is_in_step(
    tmp_path: Path, encode: Encode, watch: Watch, missing: tuple[float, float]
) -> None:
    """With a recorder whose sound runs slow by 1 in 10 000 (0.36 s an hour), and one that was mute for 20 minutes."""
    beeps = (1.0, 300.0, 3590.0)
    source = make_beeps(tmp_path / "hour.mkv", 3600, rate=5, stamps=lambda t: t * 1.0001, missing=missing, beeps=beeps)
    film = encode(source, renditions=[{"height": 120, "max_rate": "1M"}], preset="ultrafast").films[0]
    # Where the stamps put the sound is where it belongs.
    expected = [pytest.approx(beep * 0.0001, abs=0.04) for beep in beeps]
    assert offsets(film, watch, beeps) == expected


@pytest.mark.long
def test_a_change_of_loudness_delays_nothing(tmp_path: Path, encode: Encode, watch: Watch) -> None:
    source = make_beeps(tmp_path / "soft.mkv", 5)
    for film in encode(source, loudness=-16).films:
        assert offsets(film, watch, BEEPS) == [pytest.approx(0, abs=0.04)] * 2, film.name
