"""A person who does everything with a film, and what the tracker says of it: a table, with `pytest -s`."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page

from ...service.conftest import until
from .conftest import Arrived, Watch
from .firefox import Firefox
from .profile import breaches, extensions, name_of
from .watching import crash, ended, everything, leave, play, seek, verbs

pytestmark = pytest.mark.long

VIDEO_JS = Path(__file__).parents[2] / "browser/node_modules/video.js/dist/video.min.js"

PLAYER = """<!doctype html><title>Algebra</title>
<script src="video.min.js"></script>
<video id="player" class="video-js" src="clip.webm" muted width="320" height="180"></video>
<script type="module">
  import { track } from "./amphipod-xapi.mjs";
  const query = new URLSearchParams(location.search);
  const player = videojs("player", { controls: true });
  window.tracker = track(player, {
    endpoint: query.get("to"),
    activity: { id: "https://pod.univ-demo.fr/video/0042-algebra/", name: "Algebra", language: "en" },
  });
  window.v = player.el().querySelector("video");
  window.player = player;
</script>"""


def told(one: dict[str, Any]) -> str:
    names = ("time", "time-from", "time-to", "progress", "played-segments")
    around = ("speed", "volume", "full-screen") if name_of(one) == "interacted" else ()
    found = {name: extensions(one, "result").get(name) for name in names}
    found |= {name: extensions(one, "context").get(name) for name in around}
    return ", ".join(f"{name} {value}" for name, value in found.items() if value is not None)


def test_a_person_who_does_everything(watch: Watch, profile: BrowserContext, arrived: Arrived) -> None:
    page = watch()
    deeds: list[tuple[str, Callable[[Page], object]]] = [
        ("plays to 1 s and pauses", lambda page: play(page, until_time=1)),
        ("seeks to 3 s", lambda page: seek(page, 3)),
        ("plays at 1.5 times the speed", lambda page: page.evaluate("v.playbackRate = 1.5; v.play()")),
        ("mutes and unmutes", lambda page: page.evaluate("v.muted = false")),
        ("goes full screen", go_full_screen),
        ("leaves it", lambda page: page.evaluate("document.exitFullscreen()")),
        ("looks at another tab", look_away),
        ("is cut off from the network", lambda _page: profile.set_offline(True)),
        ("seeks back to 2 s", lambda page: seek(page, 2)),
        ("plays on", lambda page: page.evaluate("v.playbackRate = 1; v.play()")),
    ]
    for _, do in deeds:
        do(page)
        page.wait_for_timeout(700)
    crash(page)
    profile.set_offline(False)
    page = watch()
    play(page)
    leave(page)

    said = everything(arrived, sessions=2)
    for deed, _ in [*deeds, ("the tab crashes; comes back, plays to the end, leaves", print)]:
        print(f"* {deed}")  # noqa: T201  # the table is what one runs it for
    for one in said:
        print(f"{one['timestamp'][11:23]} {name_of(one):12} {told(one)}")  # noqa: T201
    first = verbs(said)[: verbs(said).index("terminated") + 1]
    assert first[:5] == ["initialized", "played", "paused", "seeked", "played"] or "interacted" in first[:6]
    assert first.count("seeked") == 2
    assert first.count("interacted") >= 4
    assert first[-2:] == ["paused", "terminated"]
    assert verbs(said)[len(first) :] == ["initialized", "played", "completed", "paused", "terminated"]


def go_full_screen(page: Page) -> None:
    page.evaluate("document.body.onclick = () => v.requestFullscreen()")
    page.mouse.click(5, 5)
    page.wait_for_function("document.fullscreenElement")


def look_away(page: Page) -> None:
    """A browser without a window shows each tab, so that the page is told so by ourselves."""
    page.evaluate("""() => {
        Object.defineProperty(document, "visibilityState", { value: "hidden", configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
        delete document.visibilityState;
    }""")


@pytest.fixture
def player(folder: Path) -> None:
    if not VIDEO_JS.exists():
        pytest.skip("video.js is not here: make test fetches it")
    shutil.copy(VIDEO_JS, folder / "video.min.js")
    (folder / "player.html").write_text(PLAYER)


@pytest.mark.usefixtures("player")
def test_video_js_and_the_module(profile: BrowserContext, portal: str, endpoint: str, arrived: Arrived) -> None:
    page = profile.new_page()
    page.goto(f"{portal}/player.html?to={endpoint}")
    page.wait_for_function("window.v && v.readyState >= 4")
    play(page, until_time=1)
    page.evaluate("player.currentTime(4)")
    page.wait_for_function("!v.seeking && v.currentTime > 3.9")
    page.evaluate("player.volume(0.5); player.muted(false)")
    page.wait_for_timeout(700)
    play(page)
    leave(page)
    said = everything(arrived)
    assert verbs(said) == ["initialized", "played", "paused", "seeked", "interacted", "played", "paused", "terminated"]


@pytest.mark.usefixtures("player")
@pytest.mark.parametrize("page", ["page.html", "player.html"])
def test_firefox(tmp_path: Path, portal: str, endpoint: str, arrived: Arrived, page: str) -> None:
    if not (program := shutil.which("firefox-esr") or shutil.which("firefox")):
        pytest.skip("no Firefox is here")
    browser = Firefox(program, tmp_path)
    try:
        browser.go(f"{portal}/{page}?to={endpoint}")
        browser.wait_for("window.tracker && v.readyState >= 3")
        browser.evaluate("v.play()")
        browser.wait_for("v.currentTime > 1")
        browser.evaluate("v.pause()")
        browser.evaluate("v.currentTime = 0.5; v.playbackRate = 2")
        browser.wait_for("!v.seeking")
        browser.evaluate("v.play()")
        browser.wait_for("v.ended")
        browser.go("about:blank")
        # What the browser has let go with the page is sent by the next one.
        browser.go(f"{portal}/{page}?to={endpoint}")
        browser.wait_for("window.tracker && v.readyState >= 3 && !tracker.outbox.waiting.length")
        until(lambda: ended(arrived()), what="the first session's last statement arrives")
    finally:
        browser.close()
    said = sorted({one["id"]: one for one in arrived()}.values(), key=lambda one: one["timestamp"])
    said = [one for one in said if extensions(one, "context")["session-id"] == said[0]["id"]]
    assert breaches(said, said) == []
    assert [one for one in verbs(said) if one != "interacted"] == [
        "initialized", "played", "paused", "seeked", "played", "completed", "paused", "terminated",
    ]  # fmt: skip
    assert verbs(said).count("interacted") == 1
