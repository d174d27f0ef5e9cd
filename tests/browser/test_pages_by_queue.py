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

from ..conftest import TOY_ENGINE, TOY_STEP, InstallPlugin
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
    until,
)

Visit = Callable[[str], Page]

Ended = Callable[..., Status]

#: It waits for no other step, so that both may fail.
INDEXER = TOY_STEP.replace('needs=("encode",)', "needs=()")


@pytest.fixture
def toy_service(service: Settings, install_plugin: InstallPlugin, monkeypatch: pytest.MonkeyPatch) -> Settings:
    install_plugin("toy", TOY_ENGINE)
    install_plugin("indexer", INDEXER)
    monkeypatch.setenv("AMPHIPOD_PLUGINS_ONLY", "toy,indexer")
    return service.model_copy(update={"plugins_only": ("toy", "indexer")})


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
    assert took < 2


def kill(worker: Worker) -> None:
    for pid in [*worker.pids, worker.process.pid]:
        os.kill(pid, signal.SIGKILL)


@pytest.mark.long  # a lease and two looks have to pass
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


@pytest.mark.long  # as the next one, of the whole job
def test_a_failed_job_is_tried_again_from_its_page_and_succeeds(
    visit: Visit, start: Start, ended: Ended, toy_service: Settings
) -> None:
    start("indexing", "callbacks", threads=2)
    job = jobs.submit("a.mp4", steps=["index"], options={"fail_once": True}, settings=toy_service)
    ended(job)
    page = visit(f"/jobs/{job}")
    is_seen(page, "#step-index.failed")
    page.get_by_role("button", name="Retry", exact=True).click()
    is_seen(page, "#head[data-state=succeeded]")
    assert page.locator("#failure").inner_text() == ""


def test_one_step_is_tried_again_from_the_page_and_the_other_that_failed_is_not(
    visit: Visit, start: Start, ended: Ended, toy_service: Settings
) -> None:
    start("encoding", "indexing", "callbacks", threads=2)
    options = {"fail_once": True, "do": {"refuse": "no film"}}
    job = jobs.submit("a.mp4", steps=["encode", "index"], options=options, settings=toy_service)
    ended(job)
    page = visit(f"/jobs/{job}")
    page.get_by_role("button", name="Retry index").click()
    is_seen(page, "#step-index.succeeded")
    is_seen(page, "#head[data-state=failed]")
    assert not JobFolder(toy_service.jobs_root, job).result("encode", 2).exists()


@pytest.fixture
def failed(submit: Submit, ended: Ended, start: Start) -> list[str]:
    """Three jobs, and whoever has done them."""
    start("encoding", "callbacks", threads=2)
    made = [submit(refuse=f"reel{number}") for number in range(3)]
    for job in made:
        ended(job)
    return made


def row(page: Page) -> str | None:
    """Return the job whose row has the focus."""
    job: str | None = page.evaluate("document.activeElement.closest('.row')?.dataset.job")
    return job


def test_rows_are_walked_searched_and_opened_by_keys(visit: Visit, failed: list[str]) -> None:
    page = visit("/jobs")
    order = [one.get_attribute("data-job") for one in page.locator(".row").all()]
    assert sorted(filter(None, order)) == sorted(failed)
    for key in ("g", "x", "j"):  # not `g j`, which goes to a place
        page.keyboard.press(key)
    assert row(page) == order[0]
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    assert row(page) == order[1]
    page.keyboard.press("/")
    page.keyboard.press("Escape")
    page.keyboard.press("k")
    assert row(page) == order[2]
    page.keyboard.press("/")
    page.keyboard.type("reel1")
    until(lambda: page.locator(".row").count() == 1, what="the others are filtered out")
    page.keyboard.press("Enter")
    until(lambda: row(page) == failed[1], what="the row that was found has the focus")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/jobs/{failed[1]}")


def test_the_row_of_the_focus_or_those_that_are_selected_are_tried_again_by_a_key(
    visit: Visit, failed: list[str], toy_service: Settings
) -> None:
    page = visit("/jobs")

    def runs() -> list[int]:
        return [JobFolder(toy_service.jobs_root, job).run() for job in order]

    order = [str(one.get_attribute("data-job")) for one in page.locator(".row").all()]
    page.keyboard.press("j")
    page.keyboard.press("r")
    until(lambda: runs() == [2, 1, 1], what="the first is tried again")
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.keyboard.press("k")
    page.keyboard.press("r")
    until(lambda: runs() == [2, 2, 2], what="both that are selected are tried again")


@pytest.mark.long
def test_the_focus_stays_on_its_row_when_another_leaves_the_list(visit: Visit, failed: list[str]) -> None:
    page = visit("/jobs?state=failed")
    page.keyboard.press("k")
    last = row(page)
    first = page.locator(".row").first.get_attribute("data-job")
    assert page.request.delete(f"/api/v1/jobs/{first}").ok
    page.wait_for_selector(f"#row-{first}", state="detached")
    assert row(page) == last
