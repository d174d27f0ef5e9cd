"""A person who does everything with a film, and what the tracker says of it: a table, with `pytest -s`."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
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

LECTURE = Path(__file__).parents[3] / "examples/demo/lecture.mp4"

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


class Person:
    """What somebody does with a film, each deed with the moment before it."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self.page = watch(src="lecture.mp4")
        self.deeds: list[tuple[datetime, str]] = [(datetime.min.replace(tzinfo=UTC), "opens the page")]

    def does(self, deed: str, script: str | Callable[[Page], object], *, since: float = 0) -> None:
        """Do it, and let a while pass; what is said up to `since` seconds before belongs to it."""
        self.deeds.append((datetime.now(UTC) - timedelta(seconds=since), deed))
        self.page.evaluate(script) if isinstance(script, str) else script(self.page)
        if not self.page.is_closed():
            self.page.wait_for_timeout(1500)

    def comes_back(self) -> None:
        self.deeds.append((datetime.now(UTC), "comes back"))
        self.page = self._watch(src="lecture.mp4", threshold=0.05)

    def table(self, said: list[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
        """Return each deed with what was said of it."""
        times = [datetime.fromisoformat(one["timestamp"]) for one in said]
        ends = [at for at, _ in self.deeds[1:]] + [datetime.max.replace(tzinfo=UTC)]
        return [
            (deed, [one for one, at in zip(said, times, strict=True) if begin <= at < end])
            for (begin, deed), end in zip(self.deeds, ends, strict=True)
        ]


def test_a_person_who_does_everything(watch: Watch, folder: Path, profile: BrowserContext, arrived: Arrived) -> None:
    shutil.copy(LECTURE, folder)
    person = Person(watch)
    person.does("plays", "v.play()")
    person.does("pauses", "v.pause()")
    person.does("seeks to 30 s", lambda page: seek(page, 30))
    person.does("takes 1.5 times the speed", "v.playbackRate = 1.5")
    person.does("plays on", "v.play()")
    person.does("turns the sound on", "v.muted = false")
    person.does("mutes it", "v.muted = true")
    person.does("goes full screen", go_full_screen)
    person.does("leaves it", "document.exitFullscreen()")
    person.does("looks at another tab", look_away)
    person.does("is cut off from the network", lambda _page: profile.set_offline(True))
    person.does("pauses", "v.pause()")
    person.does("seeks back to 2 s", lambda page: seek(page, 2))
    person.does("plays on", "v.play()")
    person.does("loses the tab in a crash", crash, since=1.2)  # what was written down last says how it ended
    profile.set_offline(False)
    person.comes_back()
    person.does("seeks to 57 s", lambda page: seek(page, 57))
    person.does("plays to the end", play)
    person.does("leaves", leave)

    table = person.table(everything(arrived, sessions=2))
    for deed, said in table:
        rows = [f"{one['timestamp'][11:23]}  {name_of(one):12} {told(one)}" for one in said] or [""]
        for number, row in enumerate(rows):
            print(f"{deed if not number else '':30} {row}")  # noqa: T201  # the table is what one runs it for
    assert [(deed, *verbs(said)) for deed, said in table] == [
        ("opens the page", "initialized"),
        ("plays", "played"),
        ("pauses", "paused"),
        ("seeks to 30 s", "seeked"),
        ("takes 1.5 times the speed", "interacted"),
        ("plays on", "played"),
        ("turns the sound on", "interacted"),
        ("mutes it", "interacted"),
        ("goes full screen", "interacted"),
        ("leaves it", "interacted"),
        ("looks at another tab",),
        ("is cut off from the network",),
        ("pauses", "paused"),
        ("seeks back to 2 s", "seeked"),
        ("plays on", "played"),
        ("loses the tab in a crash", "paused", "terminated"),
        ("comes back", "initialized"),
        ("seeks to 57 s", "seeked"),
        ("plays to the end", "played", "completed", "paused"),
        ("leaves", "terminated"),
    ]


def go_full_screen(page: Page) -> None:
    # By a key: a click on the film is one on the controls that Chromium gives it there, and pauses it.
    page.evaluate("document.onkeydown = () => v.requestFullscreen()")
    page.keyboard.press("f")
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
    assert VIDEO_JS.exists(), "make prepare fetches it"
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
