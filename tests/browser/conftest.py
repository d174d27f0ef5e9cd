"""A film made by our own encoder, a server for it, and Debian's Chromium to play it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from core.testing import Subtitles, make_clip

HERE = Path(__file__).parent

SECONDS, RATE, CAPTION = 12, 10, (2.0, 9.0, "L'entropie ne décroît pas.")

#: Chromium looks up addresses of its maker's at every start unless told not to.
FLAGS = (
    *("--autoplay-policy=no-user-gesture-required", "--disable-background-networking", "--disable-component-update"),
    *("--disable-gpu", "--disable-quic", "--disable-sync", "--no-first-run"),
)


@pytest.fixture(scope="session")
def modules() -> Path:
    """What the tests take from npm, by the lock file."""
    wanted = json.loads((HERE / "package.json").read_text())["devDependencies"]
    found = {name: HERE / "node_modules" / name / "package.json" for name in wanted}
    if not all(
        path.exists() and json.loads(path.read_text())["version"] == wanted[name] for name, path in found.items()
    ):
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        subprocess.run(command, cwd=HERE, check=True)
    return HERE / "node_modules"


@pytest.fixture(scope="session")
def hls_js(modules: Path) -> Path:
    return modules / "hls.js/dist/hls.min.js"


@pytest.fixture(scope="session")
def assets() -> Path:
    """Folder of the player's static files, with what comes from npm."""
    subprocess.run(["make", "--quiet", "assets"], cwd=HERE.parents[1], check=True)
    return HERE.parents[1] / "core/web/static"


@pytest.fixture(scope="session")
def site_folder(tmp_path_factory: pytest.TempPathFactory, hls_js: Path, assets: Path) -> Path:
    """A folder with a page, a player, and `media/`, which `amphipod run` has filled."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copy(HERE / "player.html", folder)
    shutil.copy(hls_js, folder)
    (folder / "favicon.ico").touch()
    track = Subtitles("fra", [CAPTION])
    clip = make_clip(folder / "clip.mkv", seconds=SECONDS, width=1920, height=1080, rate=RATE, subtitles=[track])
    subprocess.run(
        [
            *(sys.executable, "-P", "-m", "core.cli", "run", str(clip), "--out", str(folder / "media"), "--page"),
            *("--steps", "encode", "--option", "preset=veryfast", "--option", "quality=off"),
        ],
        env=os.environ | {"AMPHIPOD_JOBS_ROOT": str(folder / "jobs")},
        check=True,
    )
    return folder


@pytest.fixture(scope="session")
def site(site_folder: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(site_folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser, site: str) -> Iterator[Page]:
    """A page of its own; whatever it complains of fails the test."""
    context = browser.new_context(base_url=site, viewport={"width": 700, "height": 520})
    context.set_default_timeout(60_000)
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    yield page
    problems = page.evaluate("typeof problems === 'undefined' ? [] : problems")
    context.close()
    assert complaints + problems == []


TYPES = {".m3u8": "application/vnd.apple.mpegurl", ".ts": "video/mp2t", ".vtt": "text/vtt"}


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder, and parts of a file to those who ask for a range of bytes (RFC 9110, section 14)."""

    protocol_version = "HTTP/1.1"

    def guess_type(self, path: Any) -> str:
        return TYPES.get(Path(path).suffix) or super().guess_type(path)

    def do_GET(self) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        path = Path(self.translate_path(self.path))
        if not asked or not path.is_file():
            super().do_GET()
            return
        data = path.read_bytes()
        first, last = int(asked[1]), min(int(asked[2] or len(data)), len(data) - 1)
        part = data[first : last + 1]
        self.send_response(HTTPStatus.PARTIAL_CONTENT)
        self.send_header("Content-Type", self.guess_type(path))
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def handle(self) -> None:
        with suppress(ConnectionError):  # a player stops reading when it seeks
            super().handle()

    def log_message(self, *args: Any) -> None:
        pass
