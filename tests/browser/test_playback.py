"""What we make plays in a browser: MP4 as it is, HLS through hls.js, captions, and the sprite under the seek bar."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from .conftest import CAPTION, RATE, SECONDS
from .player import LOADED, picture, plays, seek, shows

#: Seconds of an HLS segment.
SEGMENT = 2


def size(page: Page) -> Any:
    return page.evaluate("[video.videoWidth, video.videoHeight]")


@pytest.mark.parametrize(("name", "width", "height"), [("360p.mp4", 640, 360), ("720p.mp4", 1280, 720)])
def test_mp4_plays_and_seeks_to_the_frame(page: Page, tmp_path: Path, name: str, width: int, height: int) -> None:
    page.goto(f"/player.html?film=media/{name}")
    plays(page)
    assert size(page) == [width, height]
    for goal in (9.5, 3.3):
        seek(page, goal)
        wanted = pytest.approx(goal * RATE, abs=1)
        assert shows(page, tmp_path / f"{name}-{goal}.png", wanted) == wanted
        plays(page)


@pytest.mark.long  # the player's tests choose each quality, too
def test_each_quality_of_the_hls_plays_and_seeks_within_a_segment(page: Page, tmp_path: Path) -> None:
    page.goto("/player.html?film=media/livestream.m3u8")
    page.wait_for_function(LOADED)
    assert page.evaluate("hls.levels.map(level => level.height)") == [360, 720, 1080]
    for level, (width, height) in enumerate([(640, 360), (1280, 720), (1920, 1080)]):
        seek(page, 0)
        page.evaluate("level => { hls.currentLevel = level }", level)
        plays(page)
        page.wait_for_function("height => video.videoHeight === height", arg=height)
        assert size(page) == [width, height]
        for goal in (9.5, 3.3):
            seek(page, goal)
            wanted = pytest.approx(goal * RATE, abs=SEGMENT * RATE)
            assert shows(page, tmp_path / f"{height}p-{goal}.png", wanted) == wanted
            assert abs(page.evaluate("video.currentTime") - goal) < SEGMENT
            plays(page)


def test_hls_plays_from_the_first_frame_to_the_end(page: Page) -> None:
    page.goto("/player.html?film=media/livestream.m3u8")
    page.wait_for_function("video.readyState >= HTMLMediaElement.HAVE_FUTURE_DATA")
    page.evaluate("video.playbackRate = 4")
    page.wait_for_function("video.ended || (video.play().catch(() => {}), false)")
    assert page.evaluate("video.buffered.length") == 1, "a gap"
    # hls.js begins with the first time of decoding; B-frames are shown up to two frames later.
    assert page.evaluate("[video.buffered.start(0), video.duration]") == pytest.approx([0, SECONDS], abs=2.5 / RATE)


def test_captions_are_shown_while_their_words_are_spoken(page: Page, tmp_path: Path) -> None:
    page.goto("/player.html?film=media/360p.mp4&captions=media/subtitle_fra.vtt")
    page.wait_for_function("captions.cues?.length > 0")
    begin, end, words = CAPTION
    texts = "[...captions.activeCues].map(cue => cue.text)"
    for goal, expected in ((begin - 1, []), (begin + 1, [words]), (end + 1, [])):
        seek(page, goal)
        assert page.evaluate(texts) == expected
    seek(page, begin + 1)
    picture(page, "#video", tmp_path / "captions.png")


def test_the_sprite_shows_what_is_there_when_one_seeks(page: Page, tmp_path: Path) -> None:
    page.goto("/player.html?film=media/360p.mp4&sprite=media/overview.vtt")
    page.wait_for_function("tiles.cues?.length === 10")
    for tile in (0, 4, 9):
        middle = (tile + 0.5) * SECONDS / 10
        page.evaluate("preview", middle)
        page.wait_for_load_state("networkidle")
        wanted = pytest.approx(middle * RATE, abs=1)
        assert shows(page, tmp_path / f"tile-{tile}.png", wanted, "#preview") == wanted


def test_the_page_that_a_run_writes_plays(page: Page, tmp_path: Path) -> None:
    page.goto("/media/watch.html")
    page.evaluate("window.video = document.querySelector('video'); video.muted = true")
    page.wait_for_function(LOADED)
    plays(page)
    page.screenshot(path=tmp_path / "watch.png", full_page=True)
