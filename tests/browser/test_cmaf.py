"""The same fragmented MP4s play through dash.js and through hls.js, in each quality and each language."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

import plugins.encode
from core import Source
from core.testing import fake_context, fake_job, make_clip
from plugins.encode.profiles import LECTURE

from .conftest import HERE, Handler
from .player import LOADED, plays, seek, shows

SECONDS, RATE, SEGMENT = 12, 10, 2


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, hls_js: Path) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("cmaf-site")
    for file in (HERE / "player.html", HERE / "dash.html", hls_js):
        shutil.copy(file, folder)
    shutil.copy(HERE / "node_modules/dashjs/dist/modern/umd/dash.all.min.js", folder)
    (folder / "favicon.ico").touch()
    clip = make_clip(folder / "clip.mp4", seconds=SECONDS, width=1280, height=720, rate=RATE)
    context = fake_context(folder / "job", clip)
    profile = LECTURE.model_copy(update={"segments": "cmaf"}).model_dump(mode="json")
    plugins.encode.plugin.encode(fake_job(clip), Source(path=clip), {"profile": profile}, context)
    context.output.rename(folder / "media")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


CHOOSE = """height => player.setRepresentationForTypeByIndex(
    "video", player.getRepresentationsByType("video").findIndex(one => one.height === height), true)"""


def seeks_and_plays(page: Page, tmp_path: Path, height: int) -> None:
    page.wait_for_function("height => video.videoHeight === height", arg=height)
    for goal in (9.5, 3.3):
        seek(page, goal)
        wanted = pytest.approx(goal * RATE, abs=SEGMENT * RATE)
        assert shows(page, tmp_path / f"{height}-{goal}.png", wanted) == wanted
        plays(page)


def test_dash(page: Page, tmp_path: Path) -> None:
    page.goto("/dash.html?film=media/manifest.mpd")
    page.wait_for_function(LOADED)
    plays(page)
    qualities: Any = page.evaluate("player.getRepresentationsByType('video').map(one => one.height)")
    assert sorted(qualities) == [360, 720]
    for height in (360, 720):
        page.evaluate(CHOOSE, height)
        seeks_and_plays(page, tmp_path, height)
    assert page.evaluate("video.duration") == pytest.approx(SECONDS, abs=0.1)


@pytest.mark.long  # DASH plays the same files
def test_hls_of_the_same_files(page: Page, tmp_path: Path) -> None:
    page.goto("/player.html?film=media/livestream.m3u8")
    page.wait_for_function(LOADED)
    for level, height in enumerate((360, 720)):
        page.evaluate("level => { hls.currentLevel = level }", level)
        plays(page)
        seeks_and_plays(page, tmp_path, height)
    assert json.loads(page.evaluate("JSON.stringify(hls.audioTracks.map(track => track.default))")) == [True]
