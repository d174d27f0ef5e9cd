"""What the tracker says of watching, in a real Chromium on a real video."""

from __future__ import annotations

import pytest

from .conftest import SECONDS, Arrived, Watch
from .profile import extensions
from .watching import ended, everything, leave, play, result, seek, verbs


def test_from_play_to_the_end_with_a_pause_and_a_seek_back(watch: Watch, arrived: Arrived) -> None:
    page = watch()
    play(page, until_time=2)
    paused_at = page.evaluate("v.currentTime")
    seek(page, 1)
    play(page)
    leave(page)

    said = everything(arrived)
    assert verbs(said) == [
        "initialized",
        "played",
        "paused",
        "seeked",
        "played",
        "completed",
        "paused",
        "terminated",
    ]
    assert result(said[:3], "paused")["progress"] == pytest.approx(paused_at / SECONDS, abs=0.02)
    seeked = result(said, "seeked")
    assert (seeked["time-from"], seeked["time-to"]) == (pytest.approx(paused_at, abs=0.1), 1)
    completed = result(said, "completed")
    assert completed["progress"] == 1
    first, second = [[float(end) for end in one.split("[.]")] for one in completed["played-segments"].split("[,]")]
    assert first == pytest.approx([0, paused_at], abs=0.1)
    assert second == pytest.approx([1, SECONDS], abs=0.1)
    (duration,) = (one["result"]["duration"] for one in said if one["verb"]["id"].endswith("completed"))
    spent = float(duration.removeprefix("PT").removesuffix("S"))
    assert spent == pytest.approx(paused_at + SECONDS - 1, abs=0.2), "what was seen twice counts twice here"


def test_seeking_to_the_end_does_not_complete(watch: Watch, arrived: Arrived) -> None:
    page = watch()
    play(page, until_time=1.5)
    watched = page.evaluate("v.currentTime")
    seek(page, SECONDS - 0.5)
    play(page)
    leave(page)

    said = everything(arrived)
    assert "completed" not in verbs(said)
    assert result(said, "terminated")["progress"] == pytest.approx((watched + 0.5) / SECONDS, abs=0.02)


def test_it_completes_at_its_threshold_and_once(watch: Watch, arrived: Arrived) -> None:
    page = watch(src="short.webm", threshold=0.5)
    play(page)
    leave(page)

    said = everything(arrived)
    assert verbs(said).count("completed") == 1
    assert result(said, "completed")["progress"] == pytest.approx(0.5, abs=0.06)
    assert result(said, "terminated")["progress"] == pytest.approx(1, abs=0.02)


def test_changes_of_speed_and_volume_are_told(watch: Watch, arrived: Arrived) -> None:
    page = watch()
    page.evaluate("v.playbackRate = 2")
    page.wait_for_timeout(50)
    page.evaluate("v.muted = false; v.volume = 0.5")
    page.wait_for_timeout(800)
    leave(page)

    said = everything(arrived)
    assert verbs(said) == ["initialized", "interacted", "interacted", "terminated"]
    told = {name.rpartition("/")[2]: value for name, value in said[-2]["context"]["extensions"].items()}
    assert (told["speed"], told["volume"], told["full-screen"]) == ("2x", 0.5, False)


@pytest.mark.long
def test_a_film_of_two_seconds_that_loops_is_completed_and_nobody_seeked(watch: Watch, arrived: Arrived) -> None:
    page = watch(src="short.webm", loop=1)
    page.evaluate("v.play()")
    page.wait_for_function("tracker.segments.closed.length && v.currentTime > 0.3", polling=20)
    leave(page)

    said = everything(arrived)
    assert verbs(said) == ["initialized", "played", "completed", "paused", "terminated"]
    assert result(said, "completed")["progress"] == 1


@pytest.mark.long
def test_another_source_is_another_session_and_stop_ends_it(watch: Watch, arrived: Arrived) -> None:
    page = watch()
    play(page, until_time=0.5)
    page.evaluate("v.src = 'short.webm'")
    page.wait_for_function("v.readyState >= 4")
    page.evaluate("tracker.stop(); v.play()")

    said = everything(arrived, sessions=2)
    assert verbs(said) == ["initialized", "played", "paused", "terminated", "initialized", "terminated"]
    assert [extensions(said[number], "context")["length"] for number in (3, 5)] == pytest.approx([SECONDS, 2], abs=0.05)


@pytest.mark.long
def test_a_page_that_comes_back_from_the_cache_begins_a_new_session(watch: Watch, arrived: Arrived) -> None:
    page = watch()
    play(page, until_time=0.5)
    page.wait_for_timeout(1500)
    page.evaluate("window.stays = true")
    page.goto(page.url.replace("page.html", "other.html"))
    page.evaluate("history.back()")
    page.wait_for_function("window.stays")
    play(page, until_time=1)
    leave(page)

    said = everything(arrived, sessions=2)
    assert verbs(said) == ["initialized", "played", "paused", "terminated"] * 2


@pytest.mark.long
def test_what_was_watched_in_earlier_visits_under_a_registration_counts(watch: Watch, arrived: Arrived) -> None:
    registration = "0b2cbd1f-3ef6-4a38-93f3-3f1b4c0f8a11"
    page = watch(registration=registration)
    play(page, until_time=3)
    page = watch(page, registration=registration)
    seek(page, 2.5)
    play(page)
    leave(page)

    said = everything(arrived, sessions=2)
    assert verbs(said).count("completed") == 1
    assert len(ended(said)) == 2


@pytest.mark.long
@pytest.mark.parametrize("preload", ["none", "auto"])
def test_a_film_that_is_loaded_only_when_it_is_played(watch: Watch, arrived: Arrived, preload: str) -> None:
    page = watch(src="short.webm", preload=preload)
    play(page)
    leave(page)
    assert verbs(everything(arrived)) == ["initialized", "played", "completed", "paused", "terminated"]
