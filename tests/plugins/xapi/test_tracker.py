"""The tracker in a real Chromium on a real video, and the endpoint that it sends to."""

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
from typing import Any
from urllib.parse import quote

import pytest
import requests
from playwright.sync_api import Page, sync_playwright

import plugins.xapi.validation
from core.redis import connection
from core.settings import load
from core.statements import submit, visitor_token
from core.statements.outbox import PARTITIONS
from core.testing import make_clip

from ...lrs import free_port
from ...service.conftest import RedisServer, until

#: Without these Chromium asks its maker's servers at every start.
CHROMIUM = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", "--no-first-run", "--autoplay-policy=no-user-gesture-required"]  # fmt: skip

SECONDS = 6
KEY = "shared with the portal"
VISITOR = {"account": {"homePage": "https://pod.univ-demo.fr", "name": "ada"}}
SCRIPT = Path(plugins.xapi.validation.__file__).parent / "static" / "amphipod-xapi.js"

PAGE = """<!doctype html><title>Algebra</title><video id="v" src="clip.webm" muted></video>
<script src="amphipod-xapi.js"></script>
<script>
  const query = new URLSearchParams(location.search);
  window.tracker = AmphipodXapi.track(document.getElementById("v"), {
    endpoint: query.get("to"),
    threshold: Number(query.get("threshold") || 1),
    activity: { id: "https://pod.univ-demo.fr/video/0042-algebra/", name: "Algebra", language: "en" },
  });
</script>"""


@dataclass(frozen=True)
class Server:
    """Where the endpoint is, and the settings that it has."""

    url: str
    settings: dict[str, str]


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

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The origin of a page with the tracker and a video."""
    folder = tmp_path_factory.mktemp("portal")
    make_clip(folder / "clip.webm", seconds=SECONDS)
    (folder / "page.html").write_text(PAGE)
    (folder / "amphipod-xapi.js").write_bytes(SCRIPT.read_bytes())
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Ranges, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def redis_server(shared_redis: RedisServer) -> RedisServer:
    shared_redis.client.flushall()
    return shared_redis


@pytest.fixture(scope="module")
def server(portal: str, shared_redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The endpoint as a process of its own."""
    settings = {
        "AMPHIPOD_BROKER_URL": shared_redis.url,
        "AMPHIPOD_JOBS_ROOT": str(tmp_path_factory.mktemp("root")),
        "AMPHIPOD_XAPI_TRACKER_ORIGINS": portal,
        "AMPHIPOD_XAPI_TRACKER_RATE": "20",
        "AMPHIPOD_XAPI_VISITOR_KEY": KEY,
        "AMPHIPOD_XAPI_VALIDATION": "strict",
    }
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "--factory", "core.web.statements:application", "--port", str(port)]
    process = subprocess.Popen(command, env=os.environ | settings, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}/xapi/statements"

    def answers() -> bool:
        try:
            return bool(requests.get(url, timeout=5).status_code)
        except requests.ConnectionError:
            return False

    until(answers, what="the endpoint starts")
    yield Server(url, settings)
    process.terminate()
    process.wait()


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


@pytest.fixture(scope="module")
def browser_page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM)
        yield browser.new_page()
        browser.close()


@pytest.fixture
def watch(browser_page: Page, portal: str, endpoint: str) -> Callable[..., Page]:
    """Open the page of the lecture."""

    def go(*, to: str = endpoint, threshold: float = 1) -> Page:
        browser_page.goto(f"{portal}/page.html?to={quote(to, safe='')}&threshold={threshold}")
        browser_page.wait_for_function("document.getElementById('v').readyState >= 4")
        return browser_page

    return go


def play(page: Page, *, until_time: float | None = None) -> None:
    """Play to a time, or to the end."""
    condition = f"v.currentTime >= {until_time}" if until_time is not None else "v.ended"
    page.evaluate("v.play()")
    page.wait_for_function(condition, polling=20, timeout=30_000)
    if until_time is not None:
        page.evaluate("v.pause()")
        page.wait_for_function("v.paused")


def seek(page: Page, to: float) -> None:
    page.evaluate(
        "to => new Promise(done => { v.addEventListener('seeked', done, {once: true}); v.currentTime = to; })", to
    )


def leave(page: Page) -> None:
    page.goto("about:blank")


def verbs(said: list[dict[str, Any]]) -> list[str]:
    return [one["verb"]["id"].rpartition("/")[2] for one in said]


def result(said: list[dict[str, Any]], verb: str) -> dict[str, Any]:
    """The extensions of the last statement with this verb, by their short names."""
    last = [one for one in said if one["verb"]["id"].endswith("/" + verb)][-1]
    return {name.rpartition("/")[2]: value for name, value in last["result"]["extensions"].items()}


def everything(arrived: Arrived) -> list[dict[str, Any]]:
    """Return all statements, each once: a batch whose answer was lost is sent again, under the same ids."""
    until(lambda: "terminated" in verbs(arrived()), what="the last statement arrives")
    return sorted({one["id"]: one for one in arrived()}.values(), key=lambda one: one["timestamp"])


class TestWatching:
    def test_from_play_to_the_end_with_a_pause_and_a_seek_back(
        self, watch: Callable[..., Page], arrived: Arrived
    ) -> None:
        page = watch()
        play(page, until_time=2)
        paused_at = page.evaluate("v.currentTime")
        seek(page, 1)
        play(page)
        leave(page)

        said = everything(arrived)
        assert verbs(said) == ["initialized", "played", "paused", "seeked", "played", "completed", "terminated"]
        assert [plugins.xapi.validation.complaint(one) for one in said] == [None] * len(said)
        assert result(said, "paused")["progress"] == pytest.approx(paused_at / SECONDS, abs=0.02)
        seeked = result(said, "seeked")
        assert (seeked["time-from"], seeked["time-to"]) == (pytest.approx(paused_at, abs=0.1), 1)
        completed = result(said, "completed")
        assert completed["progress"] == pytest.approx(1, abs=0.02)
        first, second = [[float(end) for end in one.split("[.]")] for one in completed["played-segments"].split("[,]")]
        assert first == pytest.approx([0, paused_at], abs=0.1)
        assert second == pytest.approx([1, SECONDS], abs=0.1)
        (duration,) = (one["result"]["duration"] for one in said if one["verb"]["id"].endswith("completed"))
        spent = float(duration.removeprefix("PT").removesuffix("S"))
        assert spent == pytest.approx(paused_at + SECONDS - 1, abs=0.2), "what was seen twice counts twice here"
        sessions = {one["context"]["extensions"]["https://w3id.org/xapi/video/extensions/session-id"] for one in said}
        assert len(sessions) == 1

    def test_seeking_to_the_end_does_not_complete(self, watch: Callable[..., Page], arrived: Arrived) -> None:
        page = watch()
        play(page, until_time=1.5)
        watched = page.evaluate("v.currentTime")
        seek(page, SECONDS - 0.5)
        play(page)
        leave(page)

        said = everything(arrived)
        assert "completed" not in verbs(said)
        assert result(said, "terminated")["progress"] == pytest.approx((watched + 0.5) / SECONDS, abs=0.02)

    def test_it_completes_at_its_threshold_and_once(self, watch: Callable[..., Page], arrived: Arrived) -> None:
        page = watch(threshold=0.5)
        play(page)
        leave(page)

        said = everything(arrived)
        assert verbs(said).count("completed") == 1
        assert result(said, "completed")["progress"] == pytest.approx(0.5, abs=0.06)
        assert result(said, "terminated")["progress"] == pytest.approx(1, abs=0.02)

    def test_changes_of_speed_and_volume_are_told(self, watch: Callable[..., Page], arrived: Arrived) -> None:
        page = watch()
        page.evaluate("v.playbackRate = 2; v.muted = false; v.volume = 0.5")
        page.wait_for_timeout(800)
        leave(page)

        said = everything(arrived)
        assert verbs(said) == ["initialized", "interacted", "interacted", "terminated"]
        told = {name.rpartition("/")[2]: value for name, value in said[-2]["context"]["extensions"].items()}
        assert (told["speed"], told["volume"], told["full-screen"]) == ("2x", 0.5, False)
        assert [plugins.xapi.validation.complaint(one) for one in said] == [None] * len(said)

    def test_nothing_is_lost_while_the_endpoint_is_away(
        self, watch: Callable[..., Page], arrived: Arrived, redis_server: RedisServer
    ) -> None:
        page = watch()
        redis_server.kill()
        play(page, until_time=1)
        page.wait_for_timeout(1500)
        redis_server.start()
        until(lambda: "paused" in verbs(arrived()), 20, "what was said meanwhile arrives")
        leave(page)
        said = everything(arrived)
        assert verbs(said) == ["initialized", "played", "paused", "terminated"]

    def test_the_server_says_who_watches(self, watch: Callable[..., Page], endpoint: str, arrived: Arrived) -> None:
        page = watch(to=f"{endpoint}?visitor={visitor_token.sign(KEY, VISITOR)}")
        page.wait_for_timeout(100)
        leave(page)
        assert [one["actor"] for one in everything(arrived)] == [{"objectType": "Agent", **VISITOR}] * 2


class TestEndpoint:
    def post(self, endpoint: str, portal: str, body: Any, **options: Any) -> requests.Response:
        data = body if isinstance(body, str) else json.dumps(body)
        return requests.post(endpoint, data=data, headers={"Origin": portal}, timeout=10, **options)

    def said(self, **fields: Any) -> dict[str, Any]:
        return {
            "id": "11111111-1111-4111-8111-111111111111",
            "verb": {"id": "https://w3id.org/xapi/video/verbs/played"},
            "object": {
                "id": "https://pod.univ-demo.fr/video/1/",
                "definition": {"type": "https://w3id.org/xapi/video/activity-type/video"},
            },
            "context": {"contextActivities": {"category": [{"id": "https://w3id.org/xapi/video"}]}},
            "result": {"extensions": {"https://w3id.org/xapi/video/extensions/time": 1.5}},
            **fields,
        }

    def test_what_the_browser_says_of_the_actor_is_not_heard(
        self, endpoint: str, portal: str, arrived: Arrived
    ) -> None:
        forged = {"mbox": "mailto:dean@univ-demo.fr"}
        answer = self.post(endpoint, portal, self.said(actor=forged, authority=forged, stored="2020-01-01T00:00:00Z"))
        assert (answer.status_code, answer.text) == (204, "")
        (one,) = arrived()
        assert one["actor"]["account"]["name"].startswith("anonymous-")
        assert "dean" not in json.dumps(one)
        assert "stored" not in one

    def test_a_repetition_has_the_same_id_and_nobody_else_s_statement_has_it(
        self, endpoint: str, portal: str, arrived: Arrived
    ) -> None:
        words = [
            visitor_token.sign(KEY, {"account": {**VISITOR["account"], "name": name}}) for name in ("ada", "ada", "bob")
        ]
        for word in words:
            self.post(f"{endpoint}?visitor={word}", portal, self.said())
        ids = {
            name: {one["id"] for one in arrived() if one["actor"]["account"]["name"] == name} for name in ("ada", "bob")
        }
        assert len(arrived()) == 3
        assert len(ids["ada"]) == 1
        assert ids["ada"] != ids["bob"]

    @pytest.mark.parametrize(
        ("origin", "body", "status", "words"),
        [
            ("http://evil.example", {}, 403, "pages of http://evil.example may not send statements"),
            (None, "x" * 200_000, 413, "more than 131072 bytes"),
            (None, "{", 400, "not JSON"),
            (None, "[1]", 400, "a statement, or an array of up to 100"),
            (None, {"verb": {"id": "nonsense"}}, 400, "no model of Ralph's knows nonsense"),
        ],
    )
    def test_it_refuses(
        self, endpoint: str, portal: str, arrived: Arrived, origin: str | None, body: Any, status: int, words: str
    ) -> None:
        answer = self.post(endpoint, origin or portal, body)
        assert answer.status_code == status
        assert words in answer.json()["detail"]
        assert arrived() == []

    def test_a_forged_or_old_word_of_the_visitor_is_refused(self, endpoint: str, portal: str) -> None:
        forged = visitor_token.sign("another key", VISITOR)
        old = visitor_token.sign(KEY, VISITOR, seconds=-1)
        for word, reason in ((forged, "not signed with our key"), (old, "too old"), ("x", "not signed")):
            answer = self.post(f"{endpoint}?visitor={word}", portal, self.said())
            assert (answer.status_code, reason in answer.text) == (403, True)

    def test_one_browser_can_t_flood_it(self, endpoint: str, portal: str) -> None:
        answers = [self.post(endpoint, portal, [self.said()] * 100) for _ in range(8)]
        assert answers[-1].status_code == 429
        assert int(answers[-1].headers["Retry-After"]) >= 1
