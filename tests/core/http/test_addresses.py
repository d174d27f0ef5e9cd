"""What a stranger names is fetched from public addresses only, whatever form hides a private one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from core.errors import BadCall, BadSource
from core.http import addresses, strangers
from core.pipeline import download
from core.settings import Settings

from .conftest import job_of


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("193.54.1.1", True),
        ("2001:660:7301::1", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::10.0.0.1", False),
        ("2002:0a00:0001::", False),
        ("fec0::1", False),
        ("::127.0.0.1", False),
        ("64:ff9b:1::1", False),
        ("2001::1", False),
        ("240.0.0.1", False),
        ("nonsense", False),
    ],
)
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert addresses.is_public(address) is public


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:1/a.mp4", "private address"),
        ("http://127.0.0.1\\@allowed.example/a.mp4", "is no address of the web"),
        ("http://allowed.example\\@127.0.0.1/a.mp4", "is no address of the web"),
        ("http://allowed.example:80\t@127.0.0.1/", "is no address of the web"),
        ("http://allowed.example:80:90/", "is no address of the web"),
        ("http://localhost/a.mp4", "private address"),
        ("http://[::1]/a.mp4", "private address"),
        ("http://2130706433/a.mp4", "private address"),
        ("http://0x7f.1/a.mp4", "private address"),
        ("http://0177.0.0.01/a.mp4", "private address"),
        ("http://[::ffff:127.0.0.1]/a.mp4", "private address"),
        ("http://[::ffff:a00:1]/a.mp4", "private address"),
        ("http://0/a.mp4", "private address"),
        ("http://１２７.0.0.1/a.mp4", "is no address of the web"),
        ("http://ⓛocalhost/a.mp4", "is no address of the web"),
        ("ftp://univ.fr/a.mp4", "no address of the web"),
        ("file:///etc/passwd", "no address of the web"),
        ("http://univ.fr:port/a.mp4", "no address"),
        ("http://nowhere.invalid/a.mp4", "not known"),
    ],
)
def test_a_private_address_is_refused_at_once(url: str, words: str, settings: Settings) -> None:
    with pytest.raises(BadCall, match=words):
        strangers.check_source(url, settings)


def test_a_host_with_letters_of_its_language_is_one_of_the_web() -> None:
    assert addresses.host_of("https://élan.example:8443/a.mp4") == ("xn--lan-9la.example", 8443)


def test_with_a_list_of_hosts_only_those_private_or_not(settings: Settings) -> None:
    listed = settings.model_copy(update={"fetch_hosts": ("127.0.0.1",)})
    strangers.check_source("http://127.0.0.1/a.mp4", listed)
    with pytest.raises(BadCall, match="AMPHIPOD_FETCH_HOSTS"):
        strangers.check_source("http://193.54.1.1/a.mp4", listed)


@pytest.fixture
def heard() -> Iterator[tuple[str, list[str]]]:
    """A server at a private address, and what was asked of it."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "9")
            self.end_headers()
            self.wfile.write(b"a lecture")

        def log_message(self, *_args: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def test_a_name_that_leads_to_a_private_address_later_is_asked_nothing(
    heard: tuple[str, list[str]], settings: Settings, tmp_path: Path
) -> None:
    url, asked = heard
    with pytest.raises(BadSource, match="private address"):
        download.fetch(job_of(tmp_path, url), settings)
    assert asked == []


def test_what_is_larger_than_an_upload_may_be_is_not_fetched(
    heard: tuple[str, list[str]], settings: Settings, tmp_path: Path
) -> None:
    small = settings.model_copy(update={"fetch_hosts": ("127.0.0.1",), "web_upload_limit": 8})
    with pytest.raises(BadSource, match="more than 8 bytes"):
        download.fetch(job_of(tmp_path, heard[0]), small)
    assert list((tmp_path / "downloads").iterdir()) == []
    download.fetch(job_of(tmp_path, heard[0]), small.model_copy(update={"web_upload_limit": 9}))
    assert (tmp_path / "downloads" / "a.mp4").read_text() == "a lecture"
