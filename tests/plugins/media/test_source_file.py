"""One door for whatever an upload is: it opens that file, and none that the file names."""

from __future__ import annotations

import ast
import ctypes
import itertools
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import av
import pytest

from core import BadSource, Source
from core.testing import fake_context, fake_job, make_clip
from plugins.encode.dressing import Watermark, draw_logo
from plugins.encode.film import film_of
from plugins.encode.options import EncodeOptions
from plugins.encode.source.probe import probe
from plugins.encode.studio.compose import compose_takes
from plugins.encode.studio.options import ComposeOptions
from plugins.media.opener import open_source
from plugins.transcript.sound.audio import iter_audio, loudness

PLUGINS = Path(__file__).parents[3] / "plugins"

#: <sys/inotify.h>
_IN_OPEN = 0x20


class Canary:
    """A film of somebody else, and whether anyone has opened it since."""

    def __init__(self, path: Path) -> None:
        self.path = path
        libc = ctypes.CDLL(None, use_errno=True)
        self._events = libc.inotify_init1(os.O_NONBLOCK)
        assert libc.inotify_add_watch(self._events, bytes(self.path), _IN_OPEN) > 0

    @property
    def was_opened(self) -> bool:
        with suppress(BlockingIOError):
            return bool(os.read(self._events, 4096))
        return False

    def close(self) -> None:
        os.close(self._events)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("somebody-else") / "canary.ts", seconds=1, width=160, height=90)


@pytest.fixture
def canary(film: Path) -> Iterator[Canary]:
    one = Canary(film)
    yield one
    one.close()


READERS: tuple[Callable[[Path], object], ...] = (probe, iter_audio, loudness)

#: Texts that libav's demuxers would follow to another file or address.
TEXTS = {
    "HLS": "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.0,\n{file}\n#EXT-X-ENDLIST\n",
    "HLS master": '#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="a",URI="{file}"\n'
    '#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO="a"\n{file}\n',
    "ffconcat": "ffconcat version 1.0\nfile '{file}'\n",
    "DASH": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT1S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period><AdaptationSet '
    'mimeType="video/mp2t"><Representation id="1" bandwidth="1"><BaseURL>{file}</BaseURL><SegmentList><SegmentURL '
    'media="{file}"/></SegmentList></Representation></AdaptationSet></Period></MPD>',
    "SDP": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=a\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
    "ASX": '<asx version="3.0"><entry><ref href="{file}"/></entry></asx>',
    "M3U": "#EXTM3U\n#EXTINF:1,a\n{file}\n",
    "IMF": '<CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/2016"><Id>{file}</Id>',
    "AviSynth": 'DirectShowSource("{file}")\n',
}


def read_through(read: Callable[[Path], object], path: Path) -> None:
    result = read(path)
    if isinstance(result, Iterator):
        list(result)


@pytest.mark.parametrize("kind", TEXTS)
def test_a_text_that_names_other_files_is_refused_in_one_line_and_they_stay_closed(
    kind: str, canary: Canary, tmp_path: Path
) -> None:
    names = ("a.mp3", "a.mp4", "a.wav", "a.txt", "a.m3u8", "a.mpd")
    for name, read in itertools.product(names, READERS):
        path = tmp_path / name
        path.write_text(TEXTS[kind].format(file=canary.path))
        with pytest.raises(BadSource, match="is not an audio or video file") as refusal:
            read_through(read, path)
        assert "\n" not in str(refusal.value)
    assert not canary.was_opened


def test_the_canary_tells_of_who_opens_it(canary: Canary, tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    path.write_text(TEXTS["ffconcat"].format(file=canary.path))

    with av.open(str(path), container_options={"safe": "0"}):
        pass
    assert canary.was_opened


@pytest.mark.parametrize("scheme", ["file://", "", "subfile,,start,0,end,0,,:"])
def test_nor_does_one_that_lies_at_an_address_have_it_opened(scheme: str, canary: Canary, tmp_path: Path) -> None:
    entry = b"url " + bytes(4) + f"{scheme}{canary.path}".encode() + b"\0"
    path = tmp_path / "a.mov"
    path.write_bytes(_referring(make_clip(path, seconds=1, width=64, height=48).read_bytes(), entry))

    for read in READERS:
        with suppress(BadSource):
            read_through(read, path)
    assert not canary.was_opened


def test_a_track_that_lies_in_another_file_leaves_that_one_closed(canary: Canary, tmp_path: Path) -> None:
    film = make_clip(tmp_path / "a.mov", seconds=1, width=64, height=48).read_bytes()
    path = canary.path.parent / "a.mov"
    path.write_bytes(_referring(film, _alias(canary.path.name)))

    for read in READERS:
        with suppress(BadSource):
            read_through(read, path)
    assert not canary.was_opened
    with av.open(str(path), container_options={"enable_drefs": "1"}):
        assert canary.was_opened, "the reference is one that libav would follow"


def _alias(name: str) -> bytes:
    """Return the alias record of a file of this name beside the one that holds it."""
    path = name.encode()
    path += bytes(len(path) % 2)
    alias = bytes(10) + bytes(28) + bytes(12) + bytes(64) + bytes(16) + struct.pack(">HH", 1, 1) + bytes(16)
    alias += struct.pack(">HH", 2, len(path)) + path + struct.pack(">Hh", 0xFFFF, 0)
    return b"alis" + bytes(4) + alias


def _referring(film: bytes, entry: bytes) -> bytes:
    """Return a QuickTime file whose tracks lie where this entry says."""
    reference = struct.pack(">III", 0, 1, 4 + len(entry)) + entry

    def rewritten(data: bytes) -> bytes:
        found, at = b"", 0
        while at + 8 <= len(data):
            size, kind = struct.unpack_from(">I4s", data, at)
            body = data[at + 8 : at + size]
            if kind in {b"moov", b"trak", b"mdia", b"minf", b"dinf"}:
                body = rewritten(body)
            elif kind == b"dref":
                body = reference
            found += struct.pack(">I4s", 8 + len(body), kind) + body
            at += size
        return found

    return rewritten(film)


def test_credits_and_takes_of_the_studio_come_through_the_same_door(canary: Canary, tmp_path: Path) -> None:
    lecture = make_clip(tmp_path / "lecture.mp4", seconds=1, width=160, height=90)
    text = tmp_path / "opening.mp4"
    text.write_text(TEXTS["ffconcat"].format(file=canary.path))
    takes = [Source(path=text, role="presenter")]

    with pytest.raises(BadSource, match=r"opening\.mp4 is not an audio or video file"):
        film_of(lecture, EncodeOptions.model_validate({"dressing": {"opening": text}}))
    with pytest.raises(BadSource, match=r"opening\.mp4 is not an audio or video file"):
        compose_takes(fake_job(text), takes, ComposeOptions(), fake_context(tmp_path / "job", text))
    assert not canary.was_opened


@pytest.mark.parametrize("name", ["12:30.mp3", "concat:a.mp3", "file:a.mp3"])
def test_a_colon_in_a_relative_name_is_no_protocol(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_clip(tmp_path / "a.mp3", seconds=0.5).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)

    with open_source(Path(name)) as container:
        assert container.format.name == "mp3"


def test_a_pipe_is_refused_rather_than_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.mp4")

    with pytest.raises(BadSource, match=r"a\.mp4 is a device, a pipe or a socket: name a file"):
        open_source(tmp_path / "a.mp4")


def test_a_picture_that_a_program_would_have_to_draw_is_no_watermark(tmp_path: Path) -> None:
    path = tmp_path / "logo.png"
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n")

    with pytest.raises(
        BadSource,
        match=r"watermark .*logo\.png can't be read as a picture \(it is none, or is cut off\): give a PNG",
    ):
        draw_logo(Watermark(path=path), 180)


def test_no_plugin_opens_a_file_for_reading_by_another_door() -> None:
    doors = set()
    for path in PLUGINS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "av.open" and "'w'" not in ast.unparse(node):
                doors.add(path.name)
    assert doors == {"opener.py"}
