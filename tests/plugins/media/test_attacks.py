"""Attacks that have a name: small files that unfold to large ones, and names that libav takes for instructions.

Texts that name other files, and QuickTime's references, are in test_source_file.py; sizes in test_opener.py.
"""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from core import BadSource
from core.testing import make_clip
from plugins.encode.options import EncodeOptions
from plugins.encode.source.probe import probe
from plugins.media.picture_file import read_picture
from plugins.transcript.sound.audio import iter_audio

from .test_source_file import Canary, canary, film

__all__ = ["canary", "film"]  # fixtures

#: Bytes that a process which looks at one of these may take, its libraries included.
MOST_MEMORY = 350_000_000

READ = {
    "sound": "from plugins.transcript.sound.audio import iter_audio as read; print(sum(map(len, read(path))) / 16000)",
    "probe": "from plugins.encode.source.probe import probe as read; print(read(path).duration)",
    "picture": "from plugins.media.picture_file import read_picture as read; print(read(path, 'watermark').size)",
}


def looked_at(path: Path, way: str) -> str:
    """Read a file in a process of its own, and return what it says; it must be content with little memory."""
    code = f"""
import re, sys
from pathlib import Path
from core import BadSource
path = Path(sys.argv[1])
try:
    {READ[way]}
except BadSource as error:
    print(error)
print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024)  # rusage's is inherited
"""
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    *said, peak = done.stdout.splitlines()
    assert int(peak) < MOST_MEMORY
    assert len(said) == 1, "one line"
    return said[0]


# Matroska


def element(name: str, body: bytes) -> bytes:
    """Return an element of EBML (RFC 8794), its length in eight bytes."""
    return bytes.fromhex(name) + (len(body) | 1 << 56).to_bytes(8, "big") + body


def track(number: int, encoding: bytes = b"") -> bytes:
    """Return the entry of a track of PCM, 8000 samples a second (RFC 9559)."""
    sound = element("b5", struct.pack(">d", 8000)) + element("9f", b"\1") + element("6264", b"\x10")
    named = element("d7", bytes([number % 127 + 1])) + element("73c5", struct.pack(">I", number + 1))
    return element(
        "ae", named + element("83", b"\2") + element("86", b"A_PCM/INT/LIT") + element("e1", sound) + encoding
    )


def compression(algorithm: int, settings: bytes = b"") -> bytes:
    how = element("4254", bytes([algorithm])) + (element("4255", settings) if settings else b"")
    return element("6d80", element("6240", element("5034", how)))


def matroska(path: Path, tracks: bytes, blocks: list[bytes]) -> Path:
    header = element("1a45dfa3", element("4282", b"matroska"))
    clock = element("1549a966", element("2ad7b1", struct.pack(">I", 1_000_000)))
    sound = b"".join(
        element("a3", b"\x81" + struct.pack(">h", 100 * number) + b"\x80" + block)
        for number, block in enumerate(blocks)
    )
    cluster = element("1f43b675", element("e7", b"\0") + sound)
    path.write_bytes(header + element("18538067", clock + element("1654ae6b", tracks) + cluster))
    return path


def test_stripped_headers_are_put_back(tmp_path: Path) -> None:
    """What mkvmerge does to some codecs is no attack."""
    wave = (9000 * np.sin(np.arange(800) * 0.3)).astype("<i2").tobytes()
    plain = matroska(tmp_path / "plain.mkv", track(0), [wave] * 10)
    stripped = matroska(tmp_path / "stripped.mkv", track(0, compression(3, wave[:4])), [wave[4:]] * 10)

    heard, expected = (np.concatenate(list(iter_audio(path))) for path in (stripped, plain))
    assert len(heard) == pytest.approx(16_000, abs=50)
    assert np.array_equal(heard, expected)


def test_compressed_blocks_are_heard(tmp_path: Path) -> None:
    path = matroska(tmp_path / "a.mkv", track(0, compression(0)), [zlib.compress(b"\0\x20" * 800)] * 10)

    assert sum(map(len, iter_audio(path))) == pytest.approx(16_000, abs=50)


@pytest.mark.parametrize("way", ["sound", "probe"])
def test_a_block_that_unfolds_to_half_a_gigabyte_is_not_unfolded(way: str, tmp_path: Path) -> None:
    path = matroska(tmp_path / "a.mkv", track(0, compression(0)), [zlib.compress(b"\0\x20" * 800), zeros()])

    assert path.stat().st_size < 600_000
    looked_at(path, way)


@cache
def zeros() -> bytes:
    """Return half a gigabyte of them, compressed."""
    packer = zlib.compressobj()
    return b"".join([packer.compress(bytes(1 << 20)) for _ in range(512)] + [packer.flush()])


@pytest.mark.parametrize("way", ["sound", "probe"])
def test_a_thousand_tracks_are_too_many(way: str, tmp_path: Path) -> None:
    path = matroska(tmp_path / "a.mkv", b"".join(map(track, range(1000))), [bytes(1600)])

    assert "a.mkv has more than 256 tracks" in looked_at(path, way)


# Pictures


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, pixels: bytes, before: bytes = b"", after: bytes = b"") -> bytes:
    """Return a grey PNG; `pixels` are compressed."""
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + before + _chunk(b"IDAT", pixels) + after + _chunk(b"IEND", b"")


def gif(frame: tuple[int, int], frames: int = 1) -> bytes:
    """Return a GIF of 8x8 whose frames are as large as they say; they hold one pixel each."""
    picture = b"\x2c" + struct.pack("<HHHHB", 0, 0, *frame, 0) + b"\x02\x02\x4c\x01\x00"
    return b"GIF89a" + struct.pack("<HHBBB", 8, 8, 0x80, 0, 0) + bytes(6) + picture * frames + b";"


SMALL = zlib.compress(bytes(9 * 8))
MOVING = _chunk(b"acTL", struct.pack(">II", 100_000, 0))
FRAME = _chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 60_000, 60_000, 0, 0, 1, 10, 0, 0))

BOMBS: dict[str, Callable[[], bytes]] = {
    "PNG of 169 million pixels": lambda: png(13_000, 13_000, zeros()),
    "PNG of 3.6 thousand million pixels": lambda: png(60_000, 60_000, zeros()),
    "PNG with more pixels than it says": lambda: png(8, 8, zeros()),
    "PNG with a text that unfolds": lambda: png(8, 8, SMALL, before=_chunk(b"zTXt", b"a\0\0" + zeros())),
    "PNG with a profile that unfolds": lambda: png(8, 8, SMALL, before=_chunk(b"iCCP", b"a\0\0" + zeros())),
    "APNG with a large frame": lambda: png(8, 8, SMALL, before=MOVING + FRAME),
    "APNG with a large second frame": lambda: png(8, 8, SMALL, MOVING, FRAME + _chunk(b"fdAT", bytes(4) + zeros())),
    "GIF with a frame of 4 thousand million pixels": lambda: gif((65_535, 65_535)),
    "GIF with a frame of 169 million pixels": lambda: gif((13_000, 13_000)),
    "GIF with a hundred thousand frames": lambda: gif((8, 8), 100_000),
}


@pytest.fixture(params=BOMBS)
def bomb(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "a.mp4"
    path.write_bytes(BOMBS[request.param]())
    return path


def test_a_picture_that_unfolds_is_seen_small_or_refused_as_a_watermark(bomb: Path) -> None:
    said = looked_at(bomb, "picture")

    assert said == "(8, 8)" or said.startswith(f"the watermark {bomb} can't be read as a picture (")


def test_nor_is_it_a_film(bomb: Path) -> None:
    with pytest.raises(BadSource, match="is not an audio or video file"):
        probe(bomb)


# Names


@pytest.mark.parametrize(
    "name", ["subfile,,start,0,end,9999,,:{}", "concat:{}", "concat:{}|{}", "file:{}", "crypto:{}"]
)
def test_a_name_that_libav_would_take_for_an_instruction_is_a_name(
    name: str, canary: Canary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = name.format(canary.path, canary.path)

    for read in (probe, lambda path: list(iter_audio(path))):
        with pytest.raises(BadSource, match="does not exist"):
            read(Path(text))
        with pytest.raises(BadSource, match="does not exist"):
            read(Path(f"{tmp_path}/{text}"))
    with pytest.raises(BadSource, match="does not exist"):
        read_picture(Path(text), "watermark")
    for option in ({"opening": text}, {"ending": text}, {"watermark": {"path": text}}):
        with pytest.raises(ValidationError, match="is not an absolute path"):
            EncodeOptions.model_validate({"dressing": option})
    assert not canary.was_opened


def test_a_name_with_what_ends_our_own_instruction_is_a_name_too(canary: Canary, tmp_path: Path) -> None:
    folder = tmp_path / f"a,,:{canary.path.parent}"
    folder.mkdir(parents=True)
    path = make_clip(folder / canary.path.name, seconds=0.5, width=64, height=48)

    media = probe(path)
    assert media.video
    assert media.video.width == 64, "not the canary's 160"
    assert not canary.was_opened
