"""What a person does with a player, and what the tracker said of it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from playwright.sync_api import Error, Page

from plugins.xapi.validation import complaint

from ...service.conftest import until
from .conftest import Arrived
from .profile import breaches, extensions, name_of


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


def crash(page: Page) -> None:
    """End the tab's process, as the system does that needs its memory."""
    with suppress(Error):
        page.goto("chrome://crash")
    page.close()


def leave(page: Page) -> None:
    page.goto("about:blank")


def verbs(said: list[dict[str, Any]]) -> list[str]:
    return [name_of(one) for one in said]


def result(said: list[dict[str, Any]], verb: str) -> dict[str, Any]:
    """The extensions of the last statement with this verb, by their short names."""
    return extensions([one for one in said if name_of(one) == verb][-1], "result")


def everything(arrived: Arrived, sessions: int = 1) -> list[dict[str, Any]]:
    """Return all statements of so many sessions, each once; they are as the Profile and Ralph want them."""
    until(lambda: len(ended(arrived())) == sessions, what="the last statement arrives")
    said = sorted({one["id"]: one for one in arrived()}.values(), key=lambda one: one["timestamp"])
    for session in ended(said):
        found = breaches([one for one in said if extensions(one, "context")["session-id"] == session], said)
        assert not found, found
    assert [complaint(one) for one in said] == [None] * len(said)
    return said


def ended(said: list[dict[str, Any]]) -> set[str]:
    return {extensions(one, "context")["session-id"] for one in said if name_of(one) == "terminated"}
