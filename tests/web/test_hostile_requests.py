"""What a stranger may cost: nothing is read for who shows no token, and whoever is let in sends little at a time."""

from __future__ import annotations

import base64
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import requests
from pydantic import SecretStr

from core.settings import Settings
from core.web.http import server

from ..conftest import InstallPlugin
from ..service.conftest import redis_server, service, toy_service, until  # noqa: F401  # fixtures
from .conftest import OpenSite, Site

ORIGIN = "https://pod.univ.fr"

#: A plugin's addresses, one of each way to bring them; some begin as ours do.
PLUGIN = """
    from starlette.responses import PlainTextResponse

    from core import hookimpl

    async def count(request):
        return PlainTextResponse(str(len(await request.body())))

    async def stumble(request):
        raise ValueError("over a stone")

    @hookimpl
    def register_routes(app):
        app.post("/rate")(lambda asked: {"stars": len(asked)})
        for path in ("/count", "/submit-many", "/api/v1/uploads-too", "/task/count", "/xapi/count"):
            app.add_route(path, count, methods=["POST"])
        app.add_route("/stumble", stumble)

        @app.post("/names")
        def names(asked: dict) -> int:
            return len(asked)
"""

PLUGIN_PATHS = ("/names", "/count", "/submit-many", "/api/v1/uploads-too", "/task/count", "/xapi/count")

PATHS = ("/api/v1/jobs", "/api/v1/uploads", "/api/v1/jobs/none/retry", "/submit", "/jobs/cancel", "/nowhere")

RUNNER = {"Authorization": "Bearer runner-token"}


@pytest.fixture
def guarded(open_site: OpenSite, toy_service: Settings, install_plugin: InstallPlugin) -> Site:  # noqa: F811
    """A server with all that can be served, a plugin's addresses too."""
    install_plugin("addresses", PLUGIN)
    more = {
        "plugins_only": ("toy", "addresses"),
        "runner_token": SecretStr("runner-token"),
        "xapi_tracker_origins": (ORIGIN,),
        "web_time_limit": 1.0,
        "web_rate": 1000.0,
    }
    return open_site(toy_service.model_copy(update=more))


def connect(site: Site) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", int(site.url.rpartition(":")[2])), timeout=10)
    client.settimeout(10)
    return client


def half_sent(site: Site, path: str, **headers: str) -> tuple[str, float]:
    """Send a head and the beginning of its body. Returns the answer, and after how many seconds it came."""
    more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    with connect(site) as client:
        begun = time.monotonic()
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\nContent-Type: application/json\r\n"
        client.sendall(f"{head}{more}\r\n{{".encode())
        return client.recv(65536).decode(), time.monotonic() - begun


def test_who_shows_no_token_is_refused_before_anything_is_read(guarded: Site) -> None:
    guarded.token("read")
    for path in (*PATHS, *PLUGIN_PATHS, "/task/execute"):
        for shown in ({}, {"Authorization": "Bearer amp_0_wrong"}):
            answer, seconds = half_sent(guarded, path, **shown)
            assert answer.startswith("HTTP/1.1 401 "), path
            assert seconds < 0.8, "the body was not waited for"


def test_a_page_of_elsewhere_sends_no_statement_before_anything_is_read(guarded: Site) -> None:
    answer, seconds = half_sent(guarded, "/xapi/statements", Origin="https://evil.example")
    assert answer.startswith("HTTP/1.1 403 ")
    assert seconds < 0.8


def test_what_comes_too_slowly_is_ended_on_each_route(guarded: Site) -> None:
    token = guarded.token("manage")
    paths = (*PLUGIN_PATHS, "/task/execute", "/xapi/statements")
    with ThreadPoolExecutor(len(paths)) as pool:
        for answer, seconds in pool.map(lambda path: half_sent(guarded, path, **let_in(guarded, path, token)), paths):
            assert answer.startswith("HTTP/1.1 408 ")
            assert seconds < 4


def let_in(site: Site, path: str, token: str = "") -> dict[str, str]:
    """Return the headers of who may use a route."""
    contracts = {"/task/execute": RUNNER, "/xapi/statements": {"Origin": ORIGIN}}
    return contracts.get(path) or {"Authorization": f"Bearer {token or site.token('manage')}"}


def in_pieces(size: int) -> Any:
    return (b" " * 65536 for _ in range(size // 65536))


def test_no_route_takes_more_than_a_megabyte_that_is_no_film(guarded: Site) -> None:
    for path in (*PLUGIN_PATHS, "/api/v1/jobs", "/task/execute", "/xapi/statements"):
        headers = {**let_in(guarded, path), "Content-Type": "application/json"}
        answer = requests.post(guarded.url + path, data=in_pieces(2 << 20), headers=headers, timeout=20)
        assert answer.status_code == 413, path


def test_a_form_that_would_take_seconds_to_read_is_not_read(site: Site) -> None:
    site.token("read")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for size, status in ((1000, 401), (300_000, 413)):
        begun = time.monotonic()
        answer = requests.post(f"{site.url}/login", data="a=&" * (size // 3), headers=form, timeout=20)
        assert (answer.status_code, time.monotonic() - begun < 1) == (status, True)


def nested(depth: int) -> str:
    return '{"a":' * depth + "1" + "}" * depth


TASK = '{"task_type": "encoding", "source_url": "http://127.0.0.1:9/a.mp4", "notify_url": "http://127.0.0.1:9/", '

#: A route, and a body in which `%s` is some JSON.
BODIES = (
    ("/api/v1/jobs", '{"source": {"path": "a.mp4"}, "attributes": {"a": %s}}'),
    ("/api/v1/jobs", '{"source": {"path": %s}}'),
    ("/api/v1/jobs", '{"source": {"url": %s}}'),
    ("/api/v1/jobs", '{"source": {"path": "a.mp4"}, "title": %s}'),
    ("/api/v1/jobs", '{"source": {"path": "a.mp4"}, "steps": %s}'),
    ("/api/v1/jobs", '{"source": {"path": "a.mp4"}, "options": {"do": %s}}'),
    ("/api/v1/jobs", '{"source": {"path": "a.mp4"}, "engines": {"encode": %s}}'),
    ("/api/v1/jobs", '{"source": {"path": "a.mp4"}, "notify": [%s]}'),
    ("/api/v1/jobs", '{"source": {"path": "a.mp4"}, %s: 1}'),
    ("/task/execute", TASK + '"parameters": {"video_id": %s}}'),
    ("/task/execute", TASK + '"parameters": {"cut": {"start": %s, "end": 1}}}'),
    ("/task/execute", TASK + '"parameters": {"dressing": {"watermark": "http://a/", "watermark_opacity": %s}}}'),
    ("/task/execute", TASK + '"parameters": {"rendition": %s}}'),
    ("/task/execute", TASK + '"etab_name": %s}'),
    ("/task/execute", '{"task_type": "encoding", "source_url": %s, "notify_url": 1}'),
    ("/task/execute", '{"task_type": "encoding", %s: 1}'),
    ("/names", "%s"),
    ("/names", '{"a": %s}'),
    ("/xapi/statements", '{"verb": %s, "object": {"id": "http://a/b"}}'),
    ("/xapi/statements", '{"verb": {"id": "http://a/b"}, "object": {"id": "http://a/b"}, "timestamp": %s}'),
)

ODD = {
    "600 deep": nested(600),
    "300 deep": nested(300),
    "100 000 deep": "[" * 100_000,
    "no number": "NaN",
    "no end": "1e999",
    "a number of 4000 digits": "9" * 4000,
    "a number of 5000 digits": "9" * 5000,
    "half of a surrogate pair": '"\\ud800"',
    "a null byte": '"a\\u0000.mp4"',
    "deep JSON in text": json.dumps("[" * 5000),
    "a million steps": json.dumps(["encode"] * 50_000),
}


@pytest.mark.long
def test_whatever_json_comes_is_taken_or_refused_but_nothing_stumbles(guarded: Site) -> None:
    token = guarded.token("manage")
    with requests.Session() as session:
        for (path, body), (name, odd) in product(BODIES, ODD.items()):
            headers = {**let_in(guarded, path, token), "Content-Type": "application/json"}
            answer = session.post(guarded.url + path, data=body.replace("%s", odd), headers=headers, timeout=20)
            assert answer.status_code < 500, (path, body, name, answer.text)
    for row in guarded("GET", "/jobs", token=token).json()["rows"]:
        assert guarded("GET", f"/jobs/{row['id']}", token=token).status_code == 200, "what was taken can be read again"


def test_json_may_be_nested_500_deep_and_no_deeper(guarded: Site) -> None:
    headers = {"Authorization": f"Bearer {guarded.token('read')}"}

    def answer(depth: int, kind: str) -> tuple[int, str]:
        found = requests.post(
            f"{guarded.url}/names", data=nested(depth), headers={**headers, "Content-Type": kind}, timeout=10
        )
        return found.status_code, found.text

    for kind in ("application/json", "application/vnd.some+json"):
        assert answer(500, kind) == (200, "1")
        status, words = answer(501, kind)
        assert (status, "nested more than 500 deep" in words) == (400, True)


#: In /proc/net/tcp.
LISTENING = "0A"

HEADERS = ("Content-Security-Policy", "X-Content-Type-Options", "Referrer-Policy", "X-Frame-Options")


def test_each_answer_tells_browsers_what_to_refuse(guarded: Site) -> None:
    shown = {"Authorization": f"Bearer {guarded.token('manage')}"}
    for path, headers, status in (
        ("/stumble", shown, 500),
        ("/stumble", {}, 401),
        ("/nowhere", shown, 404),
        ("/count", shown, 405),
        ("/task/status/x", {}, 401),
        ("/task/execute", {}, 405),
        ("/xapi/statements", {}, 405),
        ("/api/health", {}, 200),
        ("/static/none.js", {}, 404),
    ):
        answer = requests.get(guarded.url + path, headers=headers, timeout=10)
        assert answer.status_code == status, path
        assert [name for name in HEADERS if name not in answer.headers] == [], path
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert "no-store" in answer.headers["Cache-Control"], path


def test_no_address_and_no_cookie_makes_a_page_stumble(site: Site) -> None:
    deep = base64.urlsafe_b64encode(b"[" * 20_000).decode()
    mixed = base64.urlsafe_b64encode(b'{"kind": {}, "words": ["x"]}').decode()
    for method, target, cookie in (
        ("OPTIONS", "*", ""),
        ("CONNECT", "a:1", ""),
        ("GET", "/", deep),
        ("GET", "/", mixed),
    ):
        head = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nCookie: amphipod_notice={cookie}\r\n\r\n"
        with connect(site) as client:
            client.sendall(head.encode())
            assert int(client.recv(65536).split()[1]) in (200, 404, 405), method


def test_what_is_no_request_is_told_so_with_the_same_words(site: Site) -> None:
    with connect(site) as client:
        client.sendall(b"GET /" + b"x" * 100_000 + b"\r\n\r\n")
        answer = client.recv(65536).decode().lower()
    assert answer.startswith("http/1.1 400 ")
    assert all(name.lower() in answer for name in HEADERS)


def test_the_api_s_description_can_be_closed(open_site: OpenSite, here: Settings) -> None:
    site = open_site(here.model_copy(update={"web_docs_public": False}))
    token = site.token("read")
    for path in ("/openapi.json", "/api/v1/docs"):
        shown = {"Authorization": f"Bearer {token}"}
        assert requests.get(site.url + path, timeout=10).status_code == 401
        assert requests.get(site.url + path, headers=shown, timeout=10).status_code == 200


def is_served(client: socket.socket) -> bool:
    client.sendall(b"GET /api/v1/version HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return client.recv(100).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(("proxies", "most"), [((), 6), (("10.0.0.1",), 3)], ids=["in all", "of one address"])
def test_more_connections_than_there_may_be_are_refused_and_others_go_on(
    open_site: OpenSite, here: Settings, proxies: tuple[str, ...], most: int
) -> None:
    site = open_site(here.model_copy(update={"web_connections": 6, "web_trusted_proxies": proxies}))
    with ExitStack() as stack:
        held = [stack.enter_context(connect(site)) for _ in range(most)]
        for client in held:
            client.sendall(b"GET /half HTTP/1.1\r\n")
        for _ in range(20):
            with connect(site) as refused:
                assert refused.recv(65536).startswith(b"HTTP/1.1 503 ")
        held[0].close()

        def again() -> bool:
            with connect(site) as client:
                client.sendall(b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
                return not client.recv(100).startswith(b"HTTP/1.1 503")

        until(again, 5, "there is room again")


def test_a_client_that_reads_nothing_keeps_no_connection(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "SILENCE_LIMIT", 0.5)
    job = site.submit(fill_disk=20_000_000)
    site.wait(job, "succeeded")
    site.session.close()
    until(lambda: not served(site), what="nobody is served")
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", int(site.url.rpartition(":")[2])))
        client.sendall(f"GET /api/v1/jobs/{job}/files/big.mp4 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        until(lambda: served(site) == 1, what="it is served")
        until(lambda: not served(site), 10, "it is served no more")


def served(site: Site) -> int:
    """Count the connections that the server has open."""
    port = f":{int(site.url.rpartition(':')[2]):04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    return sum(1 for line in lines if line[1].endswith(port) and line[3] != LISTENING and line[9] != "0")
