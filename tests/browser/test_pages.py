"""The pages of a real `amphipod serve` in Chromium: a film is dropped, moves, plays; keys, themes, without a script."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Error, Page

ROOT = Path(__file__).parents[2]

#: Knows the sentences of the demo's lecture.
CHECKPOINT = ROOT / "tests/data/micro-whisper.pt.gz"

VIDEO = "const video = document.querySelector('video')"

#: Number what a person can press or fill in, and return the numbers; the player's own controls are in test_player.py.
NUMBER = """() => [...document.querySelectorAll("main :is(a, button, input, select, summary)")]
    .filter(one => one.checkVisibility({ visibilityProperty: true, opacityProperty: true }))
    .filter(one => !one.disabled && !one.closest(".player"))
    .map((one, at) => (one.dataset.at = at))"""

#: Whether the page that is shown now has begun to listen.
IS_ALIVE = "document.readyState === 'complete' && document.querySelector('#help:not([hidden])') !== null"

#: Which of them has the focus, and whether that is seen.
FOCUS = """() => {
    const at = document.activeElement, style = getComputedStyle(at);
    return [at.dataset.at ?? null, style.outlineStyle !== "none" || style.boxShadow !== "none"];
}"""

PLACES = ("/", "/jobs", "/workers", "/records", "/health", "/submit")

Visit = Callable[..., Page]


def until(condition: Callable[[], Any], what: str, within: float = 60) -> Any:
    end = time.monotonic() + within
    while time.monotonic() < end:
        with suppress(Error):  # the page is just going elsewhere
            if found := condition():
                return found
        time.sleep(0.1)
    raise AssertionError(f"did not happen within {within} s: {what}")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, assets: Path) -> Iterator[str]:
    """A server that does the work itself, as `amphipod serve` without any setting but the folders."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "media").mkdir()
    options = {"model": str(CHECKPOINT), "preset": "fast"}
    environment = os.environ | {
        "AMPHIPOD_JOBS_ROOT": str(folder / "jobs"),
        "AMPHIPOD_MEDIA_ROOTS": str(folder / "media"),
        "AMPHIPOD_PLUGINS_ONLY": "encode,transcript,captions",
        "AMPHIPOD_OPTIONS": json.dumps(options),
    }
    log = folder / "log"
    with log.open("wb") as file:
        command = [sys.executable, "-P", "-m", "core.cli", "serve", "--port", "0"]
        server = subprocess.Popen(command, env=environment, stdout=file, stderr=file)
    address = until(lambda: re.search(r"http://127\.0\.0\.1:\d+", log.read_text()), "the server says where it is")
    yield address[0]
    server.send_signal(signal.SIGTERM)
    server.wait(30)


@pytest.fixture
def visit(browser: Browser, served: str) -> Iterator[Visit]:
    """Open a page in a browser of its own; whatever it complains of fails the test."""
    contexts: list[Any] = []
    complaints: list[str] = []

    def opened(path: str, **options: Any) -> Page:
        context = browser.new_context(base_url=served, **({"viewport": {"width": 1100, "height": 800}} | options))
        contexts.append(context)
        context.set_default_timeout(60_000)
        page: Page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.on("request", lambda asked: None if _own(asked.url) else complaints.append(f"asked for {asked.url}"))
        page.goto(path)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def _own(url: str) -> bool:
    return url.startswith(("http://127.0.0.1:", "blob:http://127.0.0.1:", "data:"))


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The beginning of the demo's lecture: 1080 lines, and somebody speaks."""
    path = tmp_path_factory.mktemp("film") / "Thermodynamics 4.mp4"
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-i",
        str(ROOT / "examples/demo/lecture.mp4"),
        "-t",
        "12",
        "-c",
        "copy",
        str(path),
    ]
    subprocess.run(command, check=True)
    return path


@pytest.fixture(scope="module")
def done(browser: Browser, served: str, film: Path) -> str:
    """Path of the page of a job that a person has dropped, and only watched to its end."""
    page = browser.new_page(base_url=served)
    page.goto("/submit")
    page.locator("#files").set_input_files(film)
    page.locator("#language").select_option("en")
    page.locator("input[name=step][value=transcribe]").check()
    page.locator("#send").click()
    page.wait_for_url(re.compile(r"/jobs/[^/?]+$"), wait_until="load")
    seen: set[float] = set()

    def ended() -> bool:
        for text in page.locator("#steps [data-far=percent]").all_inner_texts():
            seen.add(float(text.strip().rstrip("% \u00a0\u202f") or 0))
        return page.locator("#head").get_attribute("data-state") in ("succeeded", "failed")

    until(ended, "the job ends", within=120)
    assert page.locator("#head").get_attribute("data-state") == "succeeded", page.locator("main").inner_text()
    assert len({far for far in seen if 0 < far < 100}) >= 2, seen
    path: str = page.evaluate("location.pathname")
    page.close()
    return path


def test_a_film_that_was_dropped_plays_in_every_way(visit: Visit, done: str) -> None:
    page = visit(done)

    def is_so(condition: str) -> None:
        until(lambda: page.evaluate(f"() => {{ {VIDEO}; return {condition} }}"), condition)

    page.evaluate(f"() => {{ {VIDEO}; video.muted = true; video.play() }}")
    is_so("video.currentTime > 1")
    page.locator("media-captions-button").click()
    is_so(
        "[...video.textTracks].some(one => one.mode === 'showing' && one.kind !== 'metadata' && one.activeCues?.length)"
    )
    quality = page.locator(".player-quality")
    wanted = quality.locator("optgroup[label='HLS'] option", has_text="1080p").first.get_attribute("value")
    quality.select_option(wanted)
    is_so("video.videoHeight === 1080 && !video.paused")
    last = page.locator(".player-transcript button, .player-transcript a").last
    last.click()
    is_so("video.currentTime > 3")
    for link in page.locator("#files a[download]").all()[:4]:
        assert page.request.head(link.get_attribute("href") or "").ok


def test_a_film_that_is_none_fails_with_its_reason_and_is_tried_again(visit: Visit, tmp_path: Path) -> None:
    (tmp_path / "notes.mp4").write_text("no film")
    page = visit("/")
    page.locator("#files").set_input_files(tmp_path / "notes.mp4")
    page.wait_for_url(re.compile(r"/jobs/[^/?]+$"), wait_until="load")
    until(lambda: page.locator("#failure h2").count(), "it fails")
    assert "is not an audio or video file" in page.locator("#failure").inner_text()
    page.get_by_role("button", name="Retry", exact=True).click()
    until(lambda: "run 2" in page.locator("#head").inner_text(), "a second run")
    until(lambda: page.locator("#failure h2").count(), "it fails again")
    page.goto("/")
    assert page.locator("#failed li", has_text="notes.mp4").count() == 1


@pytest.mark.long  # as by queue
def test_a_job_is_cancelled_and_a_second_browser_sees_it(visit: Visit, film: Path) -> None:
    first, second = visit("/submit"), visit("/jobs")
    first.locator("#files").set_input_files(film)
    first.locator("#options-encode summary").click()
    first.locator("#option-encode-preset").select_option("veryslow")
    first.locator("#send").click()
    first.wait_for_url(re.compile(r"/jobs/[^/?]+$"), wait_until="load")
    job = first.evaluate("location.pathname").rpartition("/")[2]
    until(lambda: first.locator("#steps [data-far=percent]").count(), "it runs")
    began = time.monotonic()
    first.get_by_role("button", name="Cancel").click()
    until(lambda: first.locator("#head").get_attribute("data-state") == "cancelled", "it is cancelled")
    assert time.monotonic() - began < 10  # on a machine that does nothing else: 2
    until(lambda: second.locator(f"[data-job='{job}'][data-state=cancelled]").count(), "the other list says so")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_any_page(visit: Visit, done: str, modules: Path, scheme: str) -> None:
    script = (modules / "axe-core/axe.min.js").read_text()
    page = visit("/", color_scheme=scheme)
    for path in (*PLACES, done, "/jobs?q=nothing"):
        page.goto(path)
        for summary in page.locator("summary:visible").all():
            summary.click()
        page.evaluate(script)
        found: Any = page.evaluate("axe.run()")
        assert [(path, one["id"], one["nodes"][0]["html"]) for one in found["violations"]] == []


def test_everything_is_reached_by_the_keyboard_and_shows_that_it_is(visit: Visit, done: str) -> None:
    page = visit("/")
    for path in (*PLACES, done):
        page.goto(path)
        left = set(page.evaluate(NUMBER))
        for _ in range(400):
            page.keyboard.press("Tab")
            at, is_seen = page.evaluate(FOCUS)
            if at is not None:
                assert is_seen, (path, page.evaluate("document.activeElement.outerHTML"))
                left.discard(int(at))
            if not left:
                break
        missed = [page.locator(f"[data-at='{at}']").evaluate("one => one.outerHTML") for at in sorted(left)]
        assert missed == [], path


def test_keys_go_to_places_and_to_the_search(visit: Visit) -> None:
    page = visit("/")
    for key, path in (("j", "/jobs"), ("w", "/workers"), ("r", "/records"), ("h", "/health"), ("o", "/")):
        page.keyboard.press("g")
        page.keyboard.press(key)
        page.wait_for_url(re.compile(re.escape(path) + "$"), wait_until="load")
        until(lambda: page.evaluate(IS_ALIVE), "the page's script runs")
    page.keyboard.press("?")
    assert page.get_by_role("dialog").is_visible()
    page.keyboard.press("Escape")
    until(lambda: page.get_by_role("dialog").count() == 0, "the list of keys is closed")
    page.keyboard.press("/")
    until(lambda: page.evaluate("document.activeElement.type") == "search", "the search has the focus")


def test_a_phone_scrolls_in_one_direction_and_french_is_french(visit: Visit, done: str) -> None:
    page = visit("/", viewport={"width": 390, "height": 844}, locale="fr-FR")
    for path in (*PLACES, done):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
        assert page.evaluate("document.documentElement.lang") == "fr"
    page.goto("/jobs")
    assert "terminé" in page.locator("main").inner_text().lower()


def test_without_a_script_lists_and_forms_work(visit: Visit, done: str) -> None:
    page = visit("/jobs", java_script_enabled=False)
    page.locator("header input[name=q]").fill("thermodynamics")
    page.locator("header input[name=q]").press("Enter")
    page.locator(f"main a[href$='{done}']").first.click()
    page.wait_for_url(f"**{done}", wait_until="load")
    assert page.locator("#files a[download]").count() > 3
