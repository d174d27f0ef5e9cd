"""A portal's page with the tracker, the endpoint as a process of its own, and what has come to the intake."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode

import pytest
import requests
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

import plugins.xapi.validation
from core.redis import connection
from core.settings import load
from core.statements import submit
from core.statements.outbox import PARTITIONS
from core.testing import make_clip

from ...lrs import free_port
from ...service.conftest import RedisServer, until

SECONDS = 6
KEY = "shared with the portal"
VISITOR = {"account": {"homePage": "https://pod.univ-demo.fr", "name": "ada"}}
LECTURES = "https://pod.univ-demo.fr/video/"
MOODLE = ("moodle", "a long secret of theirs")
SCRIPTS = Path(plugins.xapi.validation.__file__).parent / "static"

PAGE = """<!doctype html><title>Algebra</title><video id="v" src="clip.webm" muted></video>
<script src="amphipod-xapi.js"></script>
<script>
  const query = new URLSearchParams(location.search);
  const number = (name, other) => Number(query.get(name) || other);
  if (query.get("loop")) v.loop = true;
  if (query.get("preload")) v.preload = query.get("preload");
  if (query.get("src")) v.src = query.get("src");
  window.tracker = AmphipodXapi.track(document.getElementById("v"), {
    endpoint: query.get("to"),
    threshold: number("threshold", 1),
    csrfToken: query.get("csrf") || undefined,
    registration: query.get("registration") || undefined,
    visitor: query.get("words") ? async () => (await fetch("words/" + query.get("words"))).text() : undefined,
    activity: { id: "https://pod.univ-demo.fr/video/0042-algebra/", name: "Algebra", language: "en" },
  });
</script>"""


@dataclass(frozen=True)
class Server:
    """Where the endpoint is, and the settings that it has."""

    url: str
    settings: dict[str, str]
    log: Path


CSRF = "a token"
taken_by_pod: list[dict[str, Any]] = []


class Ranges(SimpleHTTPRequestHandler):
    """Serves parts of files, without which a browser can't seek."""

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not wanted:
            return super().do_GET()
        data = path.read_bytes()
        start, end = int(wanted[1]), int(wanted[2] or len(data) - 1)
        self.send_response(206)
        self.send_header("Content-Type", self.guess_type(str(path)))
        self.send_header("Content-Range", f"bytes {start}-{end}/{len(data)}")
        self.send_header("Content-Length", str(end - start + 1))
        self.end_headers()
        self.wfile.write(data[start : end + 1])
        return None

    def do_POST(self) -> None:
        """Take one statement as Esup-Pod's `/xapi/video/` does: of its own pages, with the token of its form."""
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        is_ours = self.path == "/xapi/video/" and self.headers["X-CSRFToken"] == CSRF and isinstance(said, dict)
        if is_ours:
            taken_by_pod.append(said)
        self.send_response(200 if is_ours else 403)
        self.end_headers()

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture(scope="session")
def origin() -> str:
    """Of the portal's pages, which the endpoint hears of before anything is there."""
    return f"http://127.0.0.1:{free_port()}"


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the portal serves."""
    folder = tmp_path_factory.mktemp("portal")
    make_clip(folder / "clip.webm", seconds=SECONDS)
    make_clip(folder / "short.webm", seconds=2)
    (folder / "page.html").write_text(PAGE)
    (folder / "other.html").write_text("<!doctype html><title>Elsewhere</title>")
    for script in SCRIPTS.glob("*.*js"):
        (folder / script.name).write_bytes(script.read_bytes())
    return folder


@pytest.fixture(scope="session")
def portal(folder: Path, origin: str) -> Iterator[str]:
    """Pages with the tracker and a video."""
    port = int(origin.rpartition(":")[2])
    server = ThreadingHTTPServer(("127.0.0.1", port), partial(Ranges, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield origin
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def redis_server(shared_redis: RedisServer) -> RedisServer:
    shared_redis.client.flushall()
    return shared_redis


@pytest.fixture(scope="session")
def server(origin: str, shared_redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The endpoint as a process of its own."""
    settings = {
        "AMPHIPOD_BROKER_URL": shared_redis.url,
        "AMPHIPOD_JOBS_ROOT": str(tmp_path_factory.mktemp("root")),
        "AMPHIPOD_XAPI_TRACKER_ORIGINS": origin,
        "AMPHIPOD_XAPI_TRACKER_ACTIVITIES": LECTURES,
        "AMPHIPOD_XAPI_TRACKER_RATE": "20",
        "AMPHIPOD_XAPI_CLIENTS": json.dumps([{"login": MOODLE[0], "password": MOODLE[1], "activities": [LECTURES]}]),
        "AMPHIPOD_XAPI_VISITOR_KEY": KEY,
        "AMPHIPOD_XAPI_VALIDATION": "strict",
    }
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "--factory", "core.web.statements:application", "--port", str(port)]
    log = (tmp_path_factory.mktemp("log") / "access").open("wb")
    process = subprocess.Popen(command, env=os.environ | settings, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}/xapi/statements"

    def answers() -> bool:
        try:
            return bool(requests.get(url, timeout=5).status_code)
        except requests.ConnectionError:
            return False

    until(answers, what="the endpoint starts")
    yield Server(url, settings, Path(log.name))
    process.terminate()
    process.wait()
    log.close()


@pytest.fixture
def endpoint(server: Server, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in server.settings.items():
        monkeypatch.setenv(name, value)
    return server.url


Arrived = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def arrived(endpoint: str) -> Arrived:
    """Return what waits in the intake, by time."""

    def read() -> list[dict[str, Any]]:
        settings = load()
        with connection.opened(settings) as client:
            box = submit.outbox(client, submit.INTAKE, settings)
            found = [entry for partition in PARTITIONS for entry in box.head(partition, 1000).entries]
        return [json.loads(entry.text) for entry in sorted(found, key=lambda entry: entry.put_at)]

    return read


#: Without these Chromium asks its maker's servers at every start.
CHROMIUM = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", "--no-first-run", "--autoplay-policy=no-user-gesture-required"]  # fmt: skip

#: Playwright's own wish; people's browsers keep pages in memory.
NOT_PAGES_IN_MEMORY = ["--disable-back-forward-cache"]


# Ended with its module: while it runs, nobody else in this process can have a loop of events.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=CHROMIUM, ignore_default_args=NOT_PAGES_IN_MEMORY
        )
        yield browser
        browser.close()


@pytest.fixture
def profile(chromium: Browser) -> Iterator[BrowserContext]:
    """A browser that has been nowhere yet."""
    context = chromium.new_context()
    yield context
    context.close()


class Watch(Protocol):
    def __call__(self, page: Page | None = None, *, to: str = "", **options: Any) -> Page: ...


@pytest.fixture
def watch(profile: BrowserContext, portal: str, endpoint: str) -> Watch:
    """Open the page of the lecture."""

    def go(page: Page | None = None, *, to: str = "", **options: Any) -> Page:
        page = page or profile.new_page()
        page.goto(f"{portal}/page.html?{urlencode({'to': to or endpoint, **options})}")
        page.wait_for_function("v.preload == 'none' || v.readyState >= 4")
        return page

    return go
