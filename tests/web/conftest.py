"""A real server in a thread of its own, on a free port; what it serves is a host whose engine is the toy."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from core.pipeline.planning import Host
from core.plugin_host.manager import Manager
from core.settings import Settings
from core.web import tokens
from core.web.app import build
from core.web.http import server
from core.web.services import Services
from core.web.tokens import Scope

from ..service.conftest import until


@dataclass
class Site:
    """A server, and a client of it."""

    url: str
    services: Services
    session: requests.Session = field(default_factory=requests.Session)

    def __call__(self, method: str, path: str, *, token: str = "", **more: Any) -> requests.Response:
        headers = {**({"Authorization": f"Bearer {token}"} if token else {}), **more.pop("headers", {})}
        return self.session.request(method, f"{self.url}/api/v1{path}", headers=headers, timeout=20, **more)

    def refused(self, method: str, path: str, **more: Any) -> tuple[int, str]:
        """Return status and line of what must be a problem document."""
        answer = self(method, path, **more)
        assert answer.headers["content-type"] == "application/problem+json", answer.text
        problem = answer.json()
        assert problem["status"] == answer.status_code
        assert "\n" not in problem["detail"]
        return answer.status_code, problem["detail"]

    def submit(self, *, token: str = "", headers: dict[str, str] | None = None, **do: Any) -> str:
        """Submit a.mp4, with what the toy is to do."""
        body = {"source": {"path": "a.mp4"}, "steps": ["encode"], "options": {"do": do} if do else {}}
        answer = self("POST", "/jobs", json=body, token=token, headers=headers or {})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def row(self, job: str, *, token: str = "") -> dict[str, Any]:
        found: dict[str, Any] = self("GET", f"/jobs/{job}", token=token).json()["row"]
        return found

    def wait(self, job: str, *states: str, token: str = "", within: float = 20) -> dict[str, Any]:
        def stands() -> dict[str, Any] | None:
            row = self.row(job, token=token)
            return row if row["state"] in states else None

        found: dict[str, Any] = until(stands, within, f"{job} is {states}")
        return found

    def token(self, scope: Scope, **more: Any) -> str:
        return tokens.create(self.services.settings.jobs_root, scope, **more)[1]


OpenSite = Callable[..., Site]


@pytest.fixture
def media(tmp_path: Path) -> Path:
    folder = tmp_path / "media"
    folder.mkdir(exist_ok=True)
    (folder / "a.mp4").write_text("a lecture")
    return folder


@pytest.fixture
def open_site() -> Iterator[OpenSite]:
    """Start a server by some settings."""
    running: list[tuple[Any, threading.Thread, Site]] = []

    def start(settings: Settings, *, root_path: str = "") -> Site:
        app = build(settings, Manager(settings), root_path=root_path)
        listener = server.listen("127.0.0.1", 0)
        runner = server.make(app)
        thread = threading.Thread(target=runner.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        until(lambda: runner.started, what="the server starts")
        site = Site(f"http://127.0.0.1:{listener.getsockname()[1]}", app.state.services)
        running.append((runner, thread, site))
        return site

    yield start
    for runner, thread, site in running:
        site.session.close()
        site.services.close()
        runner.should_exit = True
        thread.join(10)
        assert not thread.is_alive()


@pytest.fixture
def here(toy_host: Host, media: Path) -> Settings:
    """Settings of a host without a broker."""
    return toy_host.settings.model_copy(update={"media_roots": (media,)})


@pytest.fixture
def site(open_site: OpenSite, here: Settings) -> Site:
    """A server that does the jobs itself."""
    return open_site(here)


@dataclass
class Listener:
    """Reads a stream of events in a thread."""

    events: list[tuple[str, Any]] = field(default_factory=list)

    def named(self, name: str) -> list[Any]:
        return [data for event, data in self.events if event == name]


@pytest.fixture
def listen() -> Iterator[Callable[[Site, str], Listener]]:
    heard: list[tuple[Site, requests.Response, threading.Thread]] = []

    def begin(site: Site, path: str = "/events") -> Listener:
        listener = Listener()
        answer = requests.get(f"{site.url}/api/v1{path}", stream=True, timeout=30)

        def read() -> None:
            name = ""
            for line in answer.iter_lines(chunk_size=1):
                text = line.decode()
                if text.startswith("event: "):
                    name = text.removeprefix("event: ")
                elif text.startswith("data: "):
                    listener.events.append((name, json.loads(text.removeprefix("data: "))))

        def quietly() -> None:
            try:
                read()
            except (requests.RequestException, AttributeError, ValueError, OSError):
                return  # the test is over

        thread = threading.Thread(target=quietly, daemon=True)
        thread.start()
        heard.append((site, answer, thread))
        return listener

    yield begin
    for site, answer, thread in heard:
        site.services.close()
        thread.join(10)
        answer.close()
