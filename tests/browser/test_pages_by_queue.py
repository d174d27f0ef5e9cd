# ruff: noqa: F401, F811 - fixtures of another folder are known here once they are imported
"""The pages beside a real Redis and two real workers, in Chromium: what a person sees of the others' faults."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from core import jobs
from core.jobs import Status
from core.settings import Settings
from core.storage.job_folder import JobFolder

from ..service.conftest import (  # fixtures
    RedisServer,
    Start,
    Submit,
    Worker,
    child_of,
    ended,
    redis_server,
    service,
    start,
    submit,
    toy_service,
    until,
)

Visit = Callable[[str], Page]

Ended = Callable[..., Status]


@pytest.fixture
def visit(browser: Browser, toy_service: Settings, tmp_path: Path) -> Iterator[Visit]:
    """Open a page of a server beside the workers, each in a browser of its own; a script's error fails the test."""
    log = tmp_path / "serve.log"
    with log.open("wb") as file:
        command = [sys.executable, "-P", "-m", "core.cli", "serve", "--port", "0"]
        server = subprocess.Popen(command, stdout=file, stderr=file)
    found = until(lambda: re.search(r"http://127\.0\.0\.1:\d+", log.read_text()), what="the server says where it is")
    contexts: list[Any] = []
    complaints: list[str] = []

    def opened(path: str) -> Page:
        context = browser.new_context(base_url=found[0], viewport={"width": 1100, "height": 800})
        contexts.append(context)
        page: Page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(path)
        page.wait_for_selector("html.js #help:not([hidden])")
        return page

    yield opened
    for context in contexts:
        context.close()
    server.send_signal(signal.SIGTERM)
    server.wait(30)
    assert complaints == []


def is_seen(page: Page, selector: str, within: float = 20.0) -> None:
    """Wait until something is on the page, which nobody loads again."""
    page.wait_for_selector(selector, timeout=1000 * within, state="attached")


def test_cancel_ends_what_a_worker_runs_and_a_second_browser_sees_it(
    visit: Visit,
    start: Start,
    submit: Submit,
) -> None:
    start("encoding", "callbacks", threads=2)
    job = submit(sleep=60)
    child = child_of(job)
    first, second = visit(f"/jobs/{job}"), visit("/jobs")
    is_seen(second, f"[data-job='{job}'][data-state=running]")
    began = time.monotonic()
    first.get_by_role("button", name="Cancel", exact=True).click()
    until(lambda: not Path(f"/proc/{child}").exists(), what="the child is gone")
    took = time.monotonic() - began
    is_seen(first, "#head[data-state=cancelled]")
    is_seen(second, f"[data-job='{job}'][data-state=cancelled]")
    assert took < 6  # on a machine that does nothing else: 1


def kill(worker: Worker) -> None:
    for pid in [*worker.pids, worker.process.pid]:
        os.kill(pid, signal.SIGKILL)


def test_a_job_whose_worker_was_killed_is_shown_as_waiting_and_runs_elsewhere(
    visit: Visit, start: Start, submit: Submit
) -> None:
    worker = start("encoding", "callbacks", threads=2)
    job = submit(sleep=60)
    child_of(job)
    page = visit("/jobs")
    is_seen(page, f"[data-job='{job}'][data-state=running]")
    kill(worker)
    is_seen(page, f"[data-job='{job}'][data-state=waiting]", 30)
    start("encoding", "callbacks", threads=2)
    is_seen(page, f"[data-job='{job}'][data-state=running]", 30)
    jobs.cancel(job)


@pytest.mark.long  # for twenty seconds a worker that says nothing may still be there
def test_a_worker_that_was_killed_is_gone_within_half_a_minute(visit: Visit, start: Start) -> None:
    worker = start("encoding", "callbacks", threads=2)
    page = visit("/workers")
    assert page.locator("[id^=worker-]").count() == 1
    kill(worker)
    page.wait_for_selector("[id^=worker-]", timeout=30_000, state="detached")


def test_while_redis_is_away_the_page_says_so_and_goes_on_by_itself(
    visit: Visit,
    redis_server: RedisServer,
    start: Start,
    submit: Submit,
) -> None:
    start("encoding", "callbacks", threads=2)
    page = visit("/")
    redis_server.kill()
    page.wait_for_selector("#away:not([hidden])", timeout=20_000)
    assert "Redis does not answer" in page.locator("#away").inner_text()
    redis_server.start()
    page.wait_for_selector("#away", timeout=20_000, state="hidden")
    job = submit(sleep=5)
    is_seen(page, f"[data-job='{job}'], a[href$='{job}']")


def test_rows_are_walked_opened_picked_and_tried_again_by_keys(
    visit: Visit,
    start: Start,
    submit: Submit,
    ended: Ended,
    toy_service: Settings,
) -> None:
    start("encoding", "callbacks", threads=2)
    failed = [submit(refuse=f"no film {number}") for number in range(3)]
    for job in failed:
        ended(job)
    page = visit("/jobs")
    order = [row.get_attribute("data-job") for row in page.locator(".row").all()]
    assert sorted(filter(None, order)) == sorted(failed)

    def row() -> Any:
        return page.evaluate("document.activeElement.closest('.row')?.dataset.job")

    page.keyboard.press("j")
    assert row() == order[0]
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    assert row() == order[1]
    page.keyboard.press("x")
    assert page.locator("input[name=job]:checked").get_attribute("value") == order[1]
    page.keyboard.press("r")
    until(lambda: JobFolder(toy_service.jobs_root, str(order[1])).run() == 2, what="a second run")
    page.keyboard.press("/")
    page.keyboard.type(str(order[2])[-8:])
    until(lambda: page.locator(".row").count() == 1, what="the others are filtered out")
    page.locator("main h1").click()
    page.keyboard.press("j")
    assert row() == order[2]
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/jobs/{order[2]}")
