"""Requests to a store that does as it likes: what it is sent, by which login, and for how long it is waited for."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from typing import Any

import pytest
from pydantic import SecretStr

from plugins.xapi import lrs, stores
from plugins.xapi.lrs import Client
from plugins.xapi.settings import RecordStore

PLAYED = {"id": "6690e6c9-3ef0-4ed3-8b37-7f3964730bee", "verb": {"id": "https://w3id.org/xapi/video/verbs/played"}}


class Strict(BaseHTTPRequestHandler):
    """A store of version 2.0, which keeps the headers that it gets."""

    heard: list[Any]

    def do_POST(self) -> None:
        self.heard.append(self.headers)
        batch = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer([one["id"] for one in batch])

    def do_GET(self) -> None:
        self.answer({"version": ["2.0.0"]} if self.path == "/xAPI/about" else {})

    def answer(self, said: Any) -> None:
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


class Listening(ThreadingHTTPServer):
    daemon_threads = True

    @property
    def heard(self) -> list[Any]:
        return self.RequestHandlerClass.heard  # type: ignore[attr-defined, no-any-return]


@pytest.fixture
def server() -> Iterator[Listening]:
    one = Listening(("127.0.0.1", 0), type("Handler", (Strict,), {"heard": []}))
    threading.Thread(target=one.serve_forever, daemon=True).start()
    yield one
    one.shutdown()
    one.server_close()


def store(server: Listening, *, scheme: str = "http", **about: Any) -> RecordStore:
    return RecordStore(name="a", url=f"{scheme}://127.0.0.1:{server.server_address[1]}/xAPI/statements", **about)


def outcome(one: RecordStore, time_limit: float = 5) -> tuple[str, str]:
    (receipt,) = Client(one, time_limit).deliver([PLAYED])
    return receipt.outcome, receipt.words


def test_a_token_is_sent_whatever_netrc_says_and_the_version_that_is_set(
    server: Listening, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    assert outcome(store(server, token=SecretStr("t0ken"), version="2.0.0"))[0] == "delivered"
    (heard,) = server.heard
    assert (heard["Authorization"], heard["X-Experience-API-Version"]) == ("Bearer t0ken", "2.0.0")
    assert heard["Accept-Encoding"] == "identity", "some bytes may unfold to gigabytes"


@pytest.mark.parametrize(("version", "ok"), [("2.0.0", True), ("1.0.3", False)])
def test_doctor_hears_which_versions_a_store_speaks(server: Listening, version: str, ok: bool) -> None:
    one = store(server, version=version)
    assert lrs.examine(one, Client(one, 5)).ok is ok


def test_certificates_of_a_store_come_before_those_of_the_environment(
    server: Listening, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    options = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=a -addext subjectAltName=IP:127.0.0.1"
    command = ["openssl", "req", "-x509", *options.split(), "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    context = SSLContext(PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(Path(__file__)))
    assert outcome(store(server, scheme="https", ca_file=certificate)) == ("delivered", "")


def dripping(drip: Callable[[socket.socket], None]) -> socket.socket:
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connected, _ = listening.accept()
                threading.Thread(target=drip, args=(connected,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    return listening


def head_without_end(connected: socket.socket) -> None:
    with suppress(OSError), connected:
        connected.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while True:
            connected.sendall(b"a")
            time.sleep(0.02)


def test_an_answer_whose_head_drips_has_the_time_limit_for_all_of_it() -> None:
    with dripping(head_without_end) as listening:
        begun = time.monotonic()
        one = RecordStore(name="a", url=f"http://127.0.0.1:{listening.getsockname()[1]}/xAPI/statements")
        told, words = outcome(one, time_limit=0.3)
    assert (told, "does not answer within" in words) == ("retry", True)
    assert time.monotonic() - begun < 2


def test_a_voiding_statement_passes_the_filters_that_the_voided_one_may_have_passed() -> None:
    voiding = {
        "verb": {"id": "http://adlnet.gov/expapi/verbs/voided"},
        "object": {"objectType": "StatementRef", "id": PLAYED["id"]},
    }
    filtered = RecordStore(name="a", url="http://x", verbs=("played",), activities=("https://pod.univ-demo.fr/",))
    assert stores.wants(filtered, voiding)
