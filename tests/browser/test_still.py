"""Films of which most frames were left out, because nothing changed: they are sought in as if nothing were missing."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from core.testing import make_clip

from .player import LOADED, seek, shows

#: Frames a second of the source, seconds for which a picture stands, and pictures.
RATE, STANDS, PICTURES = 25, 1.7, 13


@pytest.fixture(scope="module")
def stills(site_folder: Path) -> Path:
    """Numbered pictures that stand for a while, each the same in all its frames, encoded in profile `lecture`."""
    seconds = STANDS * PICTURES
    times = [number * STANDS for number in range(PICTURES)]
    changes = make_clip(site_folder / "changes.mkv", times=times, seconds=seconds, rate=RATE, width=640, height=360)
    source = site_folder / "stills.mkv"
    repeat = ("-vf", f"fps={RATE}", "-c:v", "ffv1", "-t", f"{seconds:g}")
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", changes, *repeat, source], check=True)
    command = (sys.executable, "-P", "-m", "core.cli", "run", str(source), "--steps", "encode")
    for name, options in {"stills": [], "cut": ["--option", "cut_start=2.6", "--option", "cut_end=14"]}.items():
        subprocess.run(
            [*command, "--out", str(site_folder / name), "--option", "quality=off", *options],
            env=os.environ | {"AMPHIPOD_JOBS_ROOT": str(site_folder / "jobs")},
            check=True,
        )
    return site_folder / "stills"


def goals(count: int, seconds: float = STANDS * (PICTURES - 1)) -> list[float]:
    """Return times that lie more than a frame from each change, and before the last, of which the source has one frame.

    hls.js begins with the first time of decoding, so what it shows comes some frames later, as with any B-frames.
    """
    chance = random.Random(8)
    times = [chance.uniform(0, seconds - 0.2) for _ in range(10 * count)]
    return [time for time in times if 4.5 / RATE < time % STANDS < STANDS - 1.5 / RATE][:count]


def landed(page: Page, folder: Path, goals: list[float], cut: float = 0.0) -> dict[float, int]:
    """Seek to each time; return by how many pictures what is shown differs from what stands there."""
    found = {}
    for goal in goals:
        seek(page, goal)
        wanted = int((goal + cut) / STANDS)
        found[goal] = shows(page, folder / f"{goal:.2f}.png", wanted) - wanted
    return {goal: difference for goal, difference in found.items() if difference}


def test_a_seek_lands_on_the_picture_that_stands_there(page: Page, tmp_path: Path, stills: Path) -> None:
    page.goto(f"/player.html?film={stills.name}/360p.mp4")
    page.wait_for_function(LOADED)
    assert landed(page, tmp_path, goals(3)) == {}


@pytest.mark.long
@pytest.mark.parametrize("name", ["360p.mp4", "livestream.m3u8"])
def test_seeks_to_twenty_times_land_on_the_picture_that_stands_there(
    page: Page, tmp_path: Path, stills: Path, name: str
) -> None:
    page.goto(f"/player.html?film={stills.name}/{name}")
    page.wait_for_function(LOADED)
    assert landed(page, tmp_path, goals(20)) == {}
    assert page.evaluate("video.duration") == pytest.approx(STANDS * PICTURES, abs=0.3)


@pytest.mark.long
@pytest.mark.parametrize("name", ["360p.mp4", "livestream.m3u8"])
def test_a_cut_through_what_was_left_out_begins_with_the_picture_that_stands_there(
    page: Page, tmp_path: Path, stills: Path, name: str
) -> None:
    assert stills
    page.goto(f"/player.html?film=cut/{name}")
    page.wait_for_function(LOADED)
    inside = [goal - 2.6 for goal in goals(40) if 2.7 < goal < 13.8][:8]
    assert landed(page, tmp_path, inside, cut=2.6) == {}


@pytest.mark.long
def test_tiles_of_the_sprite_show_the_picture_that_stands_there(page: Page, tmp_path: Path, stills: Path) -> None:
    page.goto(f"/player.html?film={stills.name}/360p.mp4&sprite={stills.name}/overview.vtt")
    page.wait_for_function("tiles.cues?.length === 10")
    found: dict[int, Any] = {}
    for tile in range(10):
        middle = (tile + 0.5) * STANDS * PICTURES / 10
        page.evaluate("preview", middle)
        page.wait_for_load_state("networkidle")
        found[tile] = shows(page, tmp_path / f"tile-{tile}.png", int(middle / STANDS), "#preview") - int(
            middle / STANDS
        )
    assert set(found.values()) == {0}
