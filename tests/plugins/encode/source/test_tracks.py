"""Sound of every form, several tracks of it, and chapters."""

from __future__ import annotations

import array
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

Clip = Callable[..., Path]
Encode = Callable[..., Any]
Ffmpeg = Callable[..., None]
Watch = Callable[[Path], list[tuple[float, Image.Image]]]


def pitches(path: Path, seconds: float = 1.0, track: int = 0) -> int:
    """Return the frequency of a tone, from how often it crosses zero."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("s16", "mono", 16_000)
        samples = array.array("h")
        for frame in container.decode(audio=track):
            for ready in resampler.resample(frame):
                samples.frombytes(bytes(ready.planes[0])[: ready.samples * 2])
    middle = samples[4_000 : 4_000 + round(16_000 * seconds)]
    return round(sum(a < 0 <= b for a, b in itertools.pairwise(middle)) / seconds)


@pytest.mark.parametrize("sample_rate", [8_000, 11_025, 22_050, 32_000, 96_000, 192_000])
def test_every_sample_rate_becomes_48_khz(clip: Clip, encode: Encode, look: Any, sample_rate: int) -> None:
    made = encode(clip(f"{sample_rate}.wav", sample_rate=sample_rate, channels=1))
    for sound in made.files("audio"):
        with av.open(str(sound)) as container:
            assert container.streams.audio[0].sample_rate == 48_000
        assert look(sound).faults == ()
        assert pitches(sound) == pytest.approx(440, abs=4)


def test_surround_is_mixed_down(tmp_path: Path, encode: Encode, clip: Clip, ffmpeg: Ffmpeg) -> None:
    """A voice in the centre is heard on both sides."""
    source = tmp_path / "surround.mkv"
    silent = clip("silent.mp4", audio=False)
    centre = "sine=f=500:d=2,pan=5.1|FC=c0"
    ffmpeg(
        "-i", silent, "-f", "lavfi", "-i", centre, "-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", "ac3", source
    )
    film = encode(source).films[0]
    with av.open(str(film)) as container:
        assert container.streams.audio[0].layout.name == "stereo"
        frames = list(container.decode(audio=0))
    middle = frames[len(frames) // 2]
    peaks = [max(array.array("f", bytes(plane)[: middle.samples * 4])) for plane in middle.planes]
    assert peaks[0] == pytest.approx(peaks[1], abs=0.01)
    assert peaks[0] > 0.02


@pytest.fixture(scope="module")
def interpreted(tmp_path_factory: pytest.TempPathFactory, clip: Clip, ffmpeg: Ffmpeg) -> Path:
    """A lecture with its sound, an interpreter's, and two more of one language; the second track is the default."""
    path = tmp_path_factory.mktemp("tracks") / "interpreted.mkv"
    tones = [argument for pitch in (300, 600, 900, 1200) for argument in ("-f", "lavfi", "-i", f"sine=f={pitch}:d=3")]
    maps = [argument for number in range(5) for argument in ("-map", f"{number}:{'a' if number else 'v'}")]
    languages = ["-metadata:s:a:0", "language=eng", "-metadata:s:a:0", "title=Interpreter", "-metadata:s:a:1",
                 "language=fra", "-metadata:s:a:2", "language=deu", "-metadata:s:a:3", "language=deu"]  # fmt: skip
    default = ["-disposition:a:0", "0", "-disposition:a:1", "default"]
    ffmpeg("-i", clip("v.mp4", seconds=3, audio=False), *tones, *maps, "-c:v", "copy", *languages, *default, path)
    return path


def test_other_audio_tracks_can_be_chosen(interpreted: Path, encode: Encode, look: Any) -> None:
    made = encode(interpreted)
    assert {path.name: pitches(path) for path in made.files("audio_playlist")} == {
        "audio_eng.m3u8": pytest.approx(300, abs=3),
        "audio_deu.m3u8": pytest.approx(900, abs=3),
        "audio_deu_2.m3u8": pytest.approx(1200, abs=3),
    }
    for film in (*made.films, *made.files("audio")):
        assert pitches(film) == pytest.approx(600, abs=3), film.name
    for path in (*made.films, *made.files("audio_playlist")):
        assert look(path).faults == ()
    master = (made.folder / "livestream.m3u8").read_text()
    choice = '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="{}",LANGUAGE="{}",DEFAULT={},AUTOSELECT=YES'
    assert [line for line in master.splitlines() if line.startswith("#EXT-X-MEDIA")] == [
        choice.format("fra", "fra", "YES"),
        choice.format("Interpreter", "eng", "NO") + ',URI="audio_eng.m3u8"',
        choice.format("deu", "deu", "NO") + ',URI="audio_deu.m3u8"',
        choice.format("deu (4)", "deu", "NO") + ',URI="audio_deu_2.m3u8"',
    ]
    assert all(',AUDIO="audio"' in line for line in master.splitlines() if line.startswith("#EXT-X-STREAM-INF"))


def test_chapters_are_kept(tmp_path: Path, encode: Encode, clip: Clip, look: Any, ffmpeg: Ffmpeg) -> None:
    about = tmp_path / "chapters.txt"
    chapters = [(0, 4000, "Opening & aims"), (4000, 9000, "Proof"), (9000, 12000, "")]
    blocks = (f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={a}\nEND={b}\ntitle={title}\n" for a, b, title in chapters)
    about.write_text(";FFMETADATA1\n" + "".join(blocks))
    source = tmp_path / "chaptered.mkv"
    ffmpeg("-i", clip("c.mp4", seconds=12), "-i", about, "-map_metadata", "1", "-c", "copy", source)

    whole = encode(source)
    assert [artifact.kind for artifact in whole.output.artifacts if artifact.path == "chapters.vtt"] == ["chapters"]
    opening = clip("opening.mp4", seconds=2)
    dressed = encode(source, cut_start=3, cut_end=8, dressing={"opening": str(opening)})
    assert chapters_of(whole) == [(0, 4, "Opening & aims"), (4, 9, "Proof"), (9, 12, "3")]
    # An MP4's chapters leave no gap, so the first begins with the opening.
    assert chapters_of(dressed) == [(0, 3, "Opening & aims"), (3, 7, "Proof")]
    assert "00:00:02.000 --> 00:00:03.000\nOpening &amp; aims\n" in (dressed.folder / "chapters.vtt").read_text()
    assert all(look(film).faults == () for film in (*whole.films, *dressed.films))


def chapters_of(made: Any) -> list[tuple[float, float, str]]:
    """Read the chapters of the MP4, which are given in seconds."""
    with av.open(str(made.files("rendition")[0])) as container:
        return [
            (
                round(float(chapter["start"] * (chapter["time_base"] or 0)), 2),
                round(float(chapter["end"] * (chapter["time_base"] or 0)), 2),
                chapter["metadata"]["title"],
            )
            for chapter in container.chapters()
        ]
