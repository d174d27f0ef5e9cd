"""A server that wants to harm whoever fetches from it: nothing waits for it, and nothing unfolds."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from core.errors import BadCall, BadSource, Cancelled, OutOfReach
from core.http import addresses, client, sessions, strangers
from core.pipeline import download, transfer
from core.pod import mediapackage
from core.settings import Settings

from ...service.conftest import until
from .conftest import job_of

Talk = Callable[[socket.socket, threading.Event], None]


@dataclass
class Hostile:
    """Says what it likes to each who connects, and counts them."""

    talk: Talk
    heard: list[bytes] = field(default_factory=list)
    #: Set when the test is over.
    over: threading.Event = field(default_factory=threading.Event)
    #: Set when the other side has gone.
    left: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/a.mp4"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self._speak, args=(connection,), daemon=True).start()

    def _speak(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            self.heard.append(connection.recv(65536))
            self.talk(connection, self.over)
        self.left.set()


@pytest.fixture
def hostile() -> Iterator[Callable[[Talk], Hostile]]:
    made: list[Hostile] = []

    def begin(talk: Talk) -> Hostile:
        made.append(Hostile(talk))
        return made[-1]

    yield begin
    for one in made:
        one.over.set()
        one.listener.close()


@pytest.fixture
def named(settings: Settings) -> Settings:
    """Settings by which this machine may be fetched from."""
    return settings.model_copy(update={"fetch_hosts": ("127.0.0.1",)})


def says(*pieces: bytes) -> Talk:
    def talk(connection: socket.socket, over: threading.Event) -> None:
        for piece in pieces:
            connection.sendall(piece)

    return talk


def drips(head: bytes, piece: bytes = b"x", pause: float = 0.05) -> Talk:
    """Send a byte now and then, for ever."""

    def talk(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(head)
        while not over.wait(pause):
            connection.sendall(piece)

    return talk


OK = b"HTTP/1.1 200 OK\r\n"


def fetch(url: str, settings: Settings, folder: Path, watch: Callable[[], None] = lambda: None) -> bytes:
    """Fetch a file; of one that does not come nothing may be left."""
    asked = job_of(folder, url)
    try:
        download.fetch(asked, settings, watch)
    except BaseException:
        assert list((folder / "downloads").iterdir()) == []
        raise
    return asked.downloads[0].path.read_bytes()


def test_a_file_comes_whole(hostile: Callable[[Talk], Hostile], named: Settings, tmp_path: Path) -> None:
    server = hostile(says(OK, b"Content-Length: 9\r\n\r\n", b"a lec", b"ture"))
    assert fetch(server.url, named, tmp_path) == b"a lecture"
    assert b"Accept-Encoding: identity" in server.heard[0]


DRIPPING = {
    "its body": drips(OK + b"\r\n"),
    "its body in chunks": drips(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "its head": drips(b"HTTP/1.1 200 O", b"K"),
    "promises": drips(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "nothing": drips(b"", b"", 0.5),
}


@pytest.mark.parametrize("talk", DRIPPING.values(), ids=DRIPPING)
def test_a_job_is_cancelled_within_a_second_whatever_its_server_does(
    hostile: Callable[[Talk], Hostile], named: Settings, tmp_path: Path, talk: Talk
) -> None:
    server, begun, looks = hostile(talk), time.monotonic(), 0

    def watch() -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        fetch(server.url, named, tmp_path, watch)
    assert time.monotonic() - begun < 1.5
    until(lambda: server.left.is_set() or talk is DRIPPING["nothing"], 5, "its connection is closed")
    until(lambda: "download" not in {one.name for one in threading.enumerate()}, 5, "nobody reads any more")


def test_a_server_that_hardly_sends_is_left(
    hostile: Callable[[Talk], Hostile], named: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "WINDOW", 0.6)
    for talk in (DRIPPING["its body"], DRIPPING["its head"], DRIPPING["promises"]):
        with pytest.raises(OutOfReach, match=r"only \d+ bytes came within 0.6 s"):
            fetch(hostile(talk).url, named, tmp_path)


def test_a_file_that_never_ends_is_left_after_its_time(
    hostile: Callable[[Talk], Hostile], named: Settings, tmp_path: Path
) -> None:
    server = hostile(drips(OK + b"\r\n", b"x" * 4096, 0.01))
    with pytest.raises(BadSource, match=r"has not come within 0.7 s.*AMPHIPOD_FETCH_TIME_LIMIT"):
        fetch(server.url, named.model_copy(update={"fetch_time_limit": 0.7}), tmp_path)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "x-gzip", "identity, gzip"])
def test_what_is_sent_compressed_is_refused_before_it_is_written(
    hostile: Callable[[Talk], Hostile], named: Settings, tmp_path: Path, encoding: str
) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    server = hostile(says(OK, f"Content-Encoding: {encoding}\r\nContent-Length: {len(bomb)}\r\n\r\n".encode(), bomb))
    with pytest.raises(BadSource, match=r"is sent as .*, which was not asked for"):
        fetch(server.url, named, tmp_path)


@pytest.mark.parametrize("length", [b"", b"Content-Length: 1000000\r\n", b"Content-Length: " + b"9" * 5000 + b"\r\n"])
def test_a_file_that_is_larger_than_it_may_be_is_refused(
    hostile: Callable[[Talk], Hostile], named: Settings, tmp_path: Path, length: bytes
) -> None:
    server = hostile(says(OK + length + b"\r\n", b"x" * 1_000_000))
    with pytest.raises(BadSource, match="has more than 1000 bytes: raise AMPHIPOD_WEB_UPLOAD_LIMIT"):
        fetch(server.url, named.model_copy(update={"web_upload_limit": 1000}), tmp_path)


BROKEN = {
    "half of it": says(OK + b"Content-Length: 9\r\n\r\n", b"a lec"),
    "half of a chunk": says(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"9\r\na lec"),
    "a chunk of no size": says(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"zz\r\na lec\r\n"),
    "no HTTP": says(b"\x00\xff" * 1000 + b"\r\n\r\n"),
    "a head without end": says(OK, b"X: " + b"x" * 200_000),
    "too many fields": says(OK, b"X: x\r\n" * 500, b"\r\n"),
    "nothing": says(),
}


@pytest.mark.parametrize("talk", BROKEN.values(), ids=BROKEN)
def test_what_breaks_off_or_is_no_answer_is_tried_again(
    hostile: Callable[[Talk], Hostile], named: Settings, tmp_path: Path, talk: Talk
) -> None:
    with pytest.raises(OutOfReach, match=r"a\.mp4"):
        fetch(hostile(talk).url, named, tmp_path)


def test_a_redirect_is_not_followed(hostile: Callable[[Talk], Hostile], named: Settings, tmp_path: Path) -> None:
    inside = hostile(says(OK + b"\r\n", b"a secret"))
    server = hostile(says(f"HTTP/1.1 302 Found\r\nLocation: {inside.url}\r\n\r\n".encode()))
    with pytest.raises(BadSource, match="answers 302: name the address that it leads to"):
        fetch(server.url, named, tmp_path)
    assert inside.heard == []


def test_a_private_address_is_not_even_connected_to(
    hostile: Callable[[Talk], Hostile], settings: Settings, tmp_path: Path
) -> None:
    """Whoever could tell a port that is open from one that is not would see our network."""
    server = hostile(says(OK + b"\r\n", b"a secret"))
    closed = server.url.replace("/a.mp4", "").rpartition(":")[0] + ":1/a.mp4"
    told = []
    for url in (server.url, closed):
        with pytest.raises(BadSource) as refused:
            fetch(url, settings, tmp_path)
        told.append(str(refused.value))
    assert told[0] == told[1]
    assert server.heard == []


def test_of_a_list_of_hosts_the_others_must_still_be_public(settings: Settings, tmp_path: Path) -> None:
    listed = settings.model_copy(update={"fetch_hosts": ("media.univ.fr",), "runner_hosts": ("pod.univ.fr",)})
    with pytest.raises(BadSource, match="private address"):
        fetch("http://127.0.0.1:1/a.mp4", listed, tmp_path)


def test_the_address_that_was_checked_is_the_one_that_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that leads to a public address when it is asked for first, and to this machine afterwards."""
    asked: list[str] = []
    really = socket.getaddrinfo

    def rebinding(host: str, port: int, *more: object, **named: object) -> object:
        asked.append(host)
        if host == "rebind.example":
            host = "203.0.113.7" if asked.count(host) > 1 else "192.0.2.1"
        return really(host, port, *more, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    monkeypatch.setattr(addresses, "is_public", lambda text: text == "192.0.2.1")
    with (
        sessions.session(only_public=True) as session,
        pytest.raises(Exception, match="rebind"),
    ):
        session.get("http://rebind.example/a.mp4", timeout=0.2)
    assert asked == ["rebind.example", "192.0.2.1"], "the name is asked for once, then the address itself"


def test_a_portal_s_head_that_drips_is_waited_for_no_longer_than_its_time(
    hostile: Callable[[Talk], Hostile], named: Settings
) -> None:
    brief = named.model_copy(update={"callback_time_limit": 0.5})
    for name in ("its head", "promises", "its body", "nothing"):
        begun = time.monotonic()
        answer = client.get(hostile(DRIPPING[name]).url, {}, brief)
        assert time.monotonic() - begun < 1.5, name
        whole_head = name == "its body"
        assert (answer.status, answer.fault) == ((200, "") if whole_head else (0, "no answer within 0 s")), name


def test_a_portal_s_answer_is_not_unpacked(hostile: Callable[[Talk], Hostile], named: Settings) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    head = f"Content-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()
    assert len(client.get(hostile(says(OK + head, bomb)).url, {}, named).body) == len(bomb)


XML = '<mediapackage><track type="presenter/source"><url>{url}</url></track>{more}</mediapackage>'


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (XML.format(url="http://[::1]/a", more=""), "private address"),
        (XML.format(url="http://2130706433/a", more=""), "private address"),
        (XML.format(url="file:///etc/passwd", more=""), "no address of the web"),
        (XML.format(url="http://[", more=""), "Invalid IPv6|no address of the web"),
        (XML.format(url="", more=""), "private address"),
        ("<a>" * 100_000 + "</a>" * 100_000, "names no take"),
        ('<!DOCTYPE a [<!ENTITY a "' + "x" * 1000 + '">' + "".join(
            f'<!ENTITY {new} "{f"&{old};" * 100}">' for old, new in ("ab", "bc", "cd", "de")
        ) + "]><a>&e;</a>", "is no XML"),
        ("<a", "is no XML"),
        ("", "is no XML"),
    ],
)  # fmt: skip
def test_a_hostile_mediapackage_is_refused_in_one_line(
    hostile: Callable[[Talk], Hostile], settings: Settings, body: str, words: str
) -> None:
    text = body.encode()
    server = hostile(says(OK + f"Content-Length: {len(text)}\r\n\r\n".encode(), text))
    port = server.url.split(":")[2].split("/")[0]
    named = settings.model_copy(update={"fetch_hosts": ("localhost",)})

    def allow(url: str) -> str:
        return strangers.check_among(url, (), only=False, name="AMPHIPOD_RUNNER_HOSTS")

    with pytest.raises((BadCall, ValueError), match=words) as refused:
        mediapackage.fetch(f"http://localhost:{port}/package.xml", named, allow)
    assert "\n" not in str(refused.value)


def test_a_mediapackage_at_a_private_address_is_not_asked_for(
    hostile: Callable[[Talk], Hostile], settings: Settings
) -> None:
    server = hostile(says(OK + b"\r\n", b"<a/>"))
    with pytest.raises(BadCall, match="private address"):
        mediapackage.fetch(server.url, settings, lambda url: url)
    assert server.heard == []
