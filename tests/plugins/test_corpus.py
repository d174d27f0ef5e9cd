"""Three thousand files that mean harm, of eighteen kinds: each is done or refused, in little time and little memory.

All of them by `make test-long`; a few here. `CORPUS_FILES` says how many of a kind and `CORPUS_FROM` from which on, for
whoever has an hour.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from core.testing import make_clip

from .mutations import HOSTILE, mutated

DATA = Path(__file__).parents[1] / "data"

RECORDINGS = ("mp4", "mov", "mkv", "webm", "ts", "avi", "flv", "wmv", "mp3", "m4a", "ogg", "flac", "wav")
PICTURES = ("png", "jpeg", "webp", "gif")
KINDS = (*RECORDINGS, *PICTURES, "credits")

#: Files of a kind, and which is the first.
MANY, FIRST = int(os.environ.get("CORPUS_FILES", "167")), int(os.environ.get("CORPUS_FROM", "0"))

#: Bytes that any child may take, and seconds.
MOST_MEMORY, MOST_SECONDS = 700_000_000, 60

#: Of each kind, one in so many is done twice.
_TWICE = 20


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("originals")
    clip: dict[str, Any] = {"seconds": 2, "rate": 10, "width": 64, "height": 36, "keyframe_every": 10}
    made = {kind: make_clip(folder / f"a.{kind}", **clip) for kind in RECORDINGS if kind not in ("flv", "wmv")}
    made["flv"] = _remuxed(made["mp4"], folder / "a.flv")
    made["wmv"] = _windows_media(folder / "a.wmv")
    frames = [Image.effect_noise((48, 32), 90).convert("RGB") for _ in range(3)]
    for kind in PICTURES:
        moving: dict[str, Any] = {"save_all": True, "append_images": frames[1:]} if kind in ("webp", "gif") else {}
        frames[0].save(folder / f"a.{kind}", **moving)
        made[kind] = folder / f"a.{kind}"
    made["credits"] = made["mp4"]
    return {kind: path.read_bytes() for kind, path in made.items()}


def _remuxed(source: Path, path: Path) -> Path:
    with av.open(str(source)) as one, av.open(str(path), "w") as other:
        streams = {stream.index: other.add_stream_from_template(stream) for stream in one.streams}
        for packet in one.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                other.mux_one(packet)
    return path


def _windows_media(path: Path) -> Path:
    with av.open(str(path), "w", format="asf") as film:
        video: Any = film.add_stream("wmv2", rate=10)
        video.width, video.height, video.pix_fmt = 64, 36, "yuv420p"
        sound: Any = film.add_stream("wmav2", 44_100, layout="stereo")
        sound.bit_rate = 128_000
        for number in range(20):
            picture = av.VideoFrame(64, 36, "yuv420p")
            for plane in picture.planes:
                plane.update(bytes([number * 9]) * plane.buffer_size)
            picture.pts = number
            film.mux(video.encode(picture))
        heard = av.AudioFrame("fltp", "stereo", 88_200)
        for channel in heard.planes:
            channel.update(bytes(channel.buffer_size))
        heard.sample_rate, heard.pts = 44_100, 0
        film.mux([*sound.encode(heard), *sound.encode(None), *video.encode(None)])
    return path


def answers(originals: dict[str, bytes], kind: str, seeds: range, folder: Path) -> list[dict[str, Any]]:
    """Return what was said of each file, and check what holds for all."""
    for name in ("media", "tmp", "home"):
        (folder / name).mkdir(parents=True)
    (folder / "home" / "diary").write_text("nobody's business")
    (folder / "lecture.mp4").write_bytes(originals["mp4"])
    (folder / "micro-whisper.pt").write_bytes(gzip.decompress((DATA / "micro-whisper.pt.gz").read_bytes()))
    for seed in seeds:
        name = f"{kind}{seed:06}.{'mp4' if kind == 'credits' else kind}"
        (folder / "media" / name).write_bytes(mutated(originals[kind], seed, HOSTILE))
    environment = {**os.environ, "TMPDIR": str(folder / "tmp"), "HOME": str(folder / "home")}
    program = [sys.executable, str(Path(__file__).with_name("corpus.py")), str(folder)]
    done = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    told = (folder / "report.jsonl").read_text()
    *said, last = map(json.loads, told.splitlines())
    if report := os.environ.get("CORPUS_REPORT"):
        with Path(report).open("a") as file:
            file.write(told)
    assert len({one["path"] for one in said}) == len(seeds)
    wrong = [f"{fault}: {one}" for one in said if (fault := fault_of(one))]
    assert not wrong, "\n".join(wrong)
    assert last["peak"] <= MOST_MEMORY, max(said, key=lambda one: one["peak"])
    return [{key: one[key] for key in ("step", "state", "reason", "notes")} for one in said]


def fault_of(said: dict[str, Any]) -> str | None:
    """Say what an answer does that none may."""
    reason = said["reason"]
    if said["seconds"] > MOST_SECONDS:
        return "it took too long"
    if said["attempt"] != 1:
        return "an attempt was lost"
    if said["touched"]:
        return "files elsewhere changed"
    if any("\n" in words or "Traceback" in words for words in (reason, *said["notes"])):
        return "it is not one line in plain words"
    if said["state"] != "succeeded" and not reason.startswith((said["path"], f"the watermark {said['path']}")):
        return "the file is not named"
    return None


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_what_means_harm_is_done_or_refused(originals: dict[str, bytes], kind: str, tmp_path: Path) -> None:
    first = 10_000 * KINDS.index(kind) + FIRST
    seeds = range(first, first + MANY)
    said = answers(originals, kind, seeds, tmp_path / "first")
    again = answers(originals, kind, seeds[: -(-MANY // _TWICE)], tmp_path / "again")
    assert [_unplaced(one, "again") for one in again] == [_unplaced(one, "first") for one in said[: len(again)]]


def _unplaced(said: dict[str, Any], folder: str) -> str:
    return json.dumps(said).replace(f"/{folder}/", "/")


@pytest.mark.parametrize("kind", ["mkv", "png", "credits"])
def test_a_few_of_them(originals: dict[str, bytes], kind: str, tmp_path: Path) -> None:
    first = 10_000 * KINDS.index(kind) + 5_000
    answers(originals, kind, range(first + 5, first + 7), tmp_path / "few")
