"""What the tracker keeps, sends and gives up, in a real Chromium."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext

from core.statements import visitor_token

from ...service.conftest import RedisServer, until
from .conftest import CSRF, KEY, VISITOR, Arrived, Server, Watch, taken_by_pod
from .watching import crash, everything, leave, play, verbs


def test_nothing_is_lost_while_the_endpoint_is_away(watch: Watch, arrived: Arrived, redis_server: RedisServer) -> None:
    page = watch()
    redis_server.kill()
    play(page, until_time=1)
    page.wait_for_timeout(1500)
    redis_server.start()
    until(lambda: "paused" in verbs(arrived()), 20, "what was said meanwhile arrives")
    leave(page)
    said = everything(arrived)
    assert verbs(said) == ["initialized", "played", "paused", "terminated"]


def test_the_server_says_who_watches(watch: Watch, endpoint: str, server: Server, arrived: Arrived) -> None:
    page = watch(to=f"{endpoint}?visitor={visitor_token.sign(KEY, VISITOR)}")
    page.wait_for_timeout(100)
    leave(page)
    until(lambda: len(arrived()) == 2, what="they arrive")
    assert [one["actor"] for one in everything(arrived)] == [{"objectType": "Agent", **VISITOR}] * 2
    assert "..." in server.log.read_text() or "visitor=" not in server.log.read_text()


def test_what_a_crash_has_left_unsaid_is_said_by_the_next_page(
    watch: Watch, profile: BrowserContext, arrived: Arrived
) -> None:
    page = watch()
    profile.set_offline(True)
    page.evaluate("v.play()")
    page.wait_for_function("v.currentTime > 1.2", polling=20)
    crash(page)
    profile.set_offline(False)
    page = watch()
    leave(page)

    said = everything(arrived, sessions=2)
    assert verbs(said) == ["initialized", "played", "paused", "terminated", "initialized", "terminated"]


@pytest.mark.long
def test_a_refused_statement_is_dropped_with_a_warning_and_the_others_go_on(watch: Watch, arrived: Arrived) -> None:
    page = watch()
    warnings: list[str] = []
    page.on("console", lambda message: warnings.append(message.text))
    page.evaluate("tracker.outbox.put({id: 'x', verb: {id: 'nonsense'}}); v.play()")
    page.wait_for_function("tracker.outbox.waiting.length == 0", timeout=30_000)
    leave(page)

    assert verbs(everything(arrived)) == ["initialized", "played", "paused", "terminated"]
    assert sum("is refused (400) and dropped" in one for one in warnings) == 1


@pytest.mark.long
def test_a_word_is_renewed_before_it_ends(watch: Watch, arrived: Arrived, folder: Path) -> None:
    (folder / "words").mkdir(exist_ok=True)
    (folder / "words" / "ada").write_text(visitor_token.sign(KEY, VISITOR, seconds=1))
    page = watch(words="ada")
    page.wait_for_timeout(1500)
    (folder / "words" / "ada").write_text(visitor_token.sign(KEY, VISITOR))
    page.evaluate("tracker.outbox.visitor.triedAt = -1e9")
    play(page, until_time=0.5)
    page.wait_for_timeout(2500)
    leave(page)
    assert {one["actor"]["account"]["name"] for one in everything(arrived)} == {"ada"}


@pytest.mark.long
def test_nobody_sends_what_another_has_watched_in_the_same_browser(
    watch: Watch, profile: BrowserContext, arrived: Arrived, endpoint: str
) -> None:
    people = {name: {"account": {**VISITOR["account"], "name": name}} for name in ("ada", "bob")}
    words = {name: visitor_token.sign(KEY, person) for name, person in people.items()}
    page = watch(to=f"{endpoint}?visitor={words['ada']}")
    profile.set_offline(True)
    page.evaluate("v.play()")
    page.wait_for_timeout(1500)
    crash(page)
    profile.set_offline(False)
    page = watch(to=f"{endpoint}?visitor={words['bob']}")
    page.wait_for_timeout(1500)
    leave(page)
    until(lambda: "terminated" in verbs(arrived()), what="bob's arrive")
    assert {one["actor"]["account"]["name"] for one in arrived()} == {"bob"}
    leave(watch(to=f"{endpoint}?visitor={words['ada']}"))
    until(lambda: {one["actor"]["account"]["name"] for one in arrived()} == {"ada", "bob"}, what="ada's arrive")


@pytest.mark.long
def test_esup_pod_s_own_address_gets_one_statement_after_the_other_with_its_token(watch: Watch, portal: str) -> None:
    taken_by_pod.clear()
    page = watch(to=f"{portal}/xapi/video/", csrf=CSRF, src="short.webm")
    play(page)
    leave(page)
    until(lambda: "terminated" in verbs(taken_by_pod), what="the last one arrives")
    assert set(verbs(taken_by_pod)) == {"initialized", "played", "completed", "paused", "terminated"}
    assert len({one["id"] for one in taken_by_pod}) == 5
