"""The application as this machine's browser sees it, and jobs in every state, made without any media."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from core.errors import AmphipodError, BadSource
from core.model import Job, Source, now
from core.pipeline import in_process, lifecycle
from core.pipeline.planning import Host
from core.storage.job_folder import JobFolder
from core.web.app import build

from ...service.conftest import redis_server, service, toy_service  # noqa: F401  # fixtures

NOT_A_FILM = BadSource(
    "/media/intro.mov is not an audio or video file", remedy="upload a recording that a media player can play"
)


class Page(HTMLParser):
    """What a page says: its words as a reader sees them, its elements by id."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.ids: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._text: list[str] = []
        self._silent = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent += tag in ("script", "style")
        self.elements.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id" and value]

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self._text.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self._text)).replace("\xa0", " ")

    def all(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        wanted = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
        return [about for name, about in self.elements if name == tag and wanted.items() <= about.items()]


class Browser:
    """Asks for pages, as one on this machine; nothing is between it and the application."""

    def __init__(self, app: FastAPI) -> None:
        transport = httpx.ASGITransport(app, client=("127.0.0.1", 50000))
        self._client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")

    def send(self, method: str, path: str, *, follow: bool = True, **about: Any) -> httpx.Response:
        return asyncio.run(self._client.request(method, path, follow_redirects=follow, **about))

    def page(self, path: str, *, status: int = 200, language: str = "en") -> Page:
        return _page(self.send("GET", path, headers={"Accept-Language": language}), status)

    def press(self, path: str, *, status: int = 200, files: Any = None, **fields: Any) -> Page:
        """Send a form; names may have a colon as `__`."""
        data = {name.replace("__", ":"): value for name, value in fields.items()}
        return _page(self.send("POST", path, data=data, files=files), status)


def _page(answer: httpx.Response, status: int) -> Page:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("text/html")
    return Page(answer.text)


@pytest.fixture
def browser(toy_host: Host) -> Browser:
    """Of a server without a broker, which has not begun to work: what waits goes on waiting."""
    return Browser(build(toy_host.settings, toy_host.manager))


MakeJob = Callable[..., JobFolder]


@pytest.fixture
def make(toy_host: Host) -> MakeJob:
    """Make a job: one that waits, or with an error one that has failed of it."""
    made = 0

    def job(title: str = "Thermodynamics 4", *, error: AmphipodError | None = None, **about: Any) -> JobFolder:
        nonlocal made
        made += 1
        moment = now() - timedelta(minutes=3, seconds=-made)
        asked = Job(
            id=f"{moment:%Y%m%d-%H%M%S}-0000{made:04x}",
            created_at=moment,
            sources=(Source(path=Path("/media") / f"{title}.mp4"),),
            steps=("encode",),
            attributes={"title": title},
            **about,
        )
        folder, _ = lifecycle.submit(asked, toy_host.settings.jobs_root)
        if error:
            lifecycle.give_up(toy_host, folder, "encode", error)
            lifecycle.finish(toy_host, folder)
        return folder

    return job


@pytest.fixture
def done(toy_host: Host, make: MakeJob, tmp_path: Path) -> JobFolder:
    """A job that has made a file."""
    film = tmp_path / "Thermodynamics 4.mp4"
    film.write_text("a lecture")
    asked = Job(
        id=lifecycle.new_id(), sources=(Source(path=film),), steps=("encode",), options={"do": {"write": "film"}}
    )
    folder, _ = lifecycle.submit(asked, toy_host.settings.jobs_root)
    in_process.run_embedded(toy_host, folder)
    return folder
