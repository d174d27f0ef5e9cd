"""A small file that asks for a large machine is refused in a line, before it gets one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from core import BadSource
from core.testing import make_clip
from plugins.media.picture_file import read_picture
from plugins.media.settings import MediaSettings
from plugins.transcript.sound.audio import iter_audio

DATA = Path(__file__).parents[2] / "data"

#: Bytes of address space that a child gets here: enough for an encode of a minute, not for what these files unfold to.
ROOM = 1_500_000_000


@pytest.mark.parametrize(
    ("name", "words"),
    [("wm169M.png", "it has 169 million pixels, 50 are taken"), ("wmwide.png", "it is 1000000 pixels wide and 2 high")],
)
def test_a_picture_that_unfolds_to_gigabytes_is_not_decoded(name: str, words: str) -> None:
    with pytest.raises(BadSource, match=rf"the watermark .*{name} can't be read as a picture \({words}\): give a PNG"):
        read_picture(DATA / name, "watermark")


@pytest.mark.parametrize(("name", "hours"), [("jump_ao.mkv", 278), ("gaps12.mkv", 5)])
def test_a_clock_that_leaps_makes_no_film_of_silence_nor_is_it_begun(name: str, hours: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "core.cli", "run", str(DATA / name), "--steps", "encode"],
        env={
            "AMPHIPOD_STEP_MEMORY_LIMIT": str(ROOM),
            "AMPHIPOD_JOBS_ROOT": "jobs",
            "AMPHIPOD_MEDIA_DURATION_LIMIT": "2000000",
        },
        capture_output=True,
        text=True,
        timeout=30,  # that silence takes minutes to encode
    )
    assert done.returncode == 1
    assert f"{name} has holes of {hours} hours and more: its clock leaps: write it anew" in done.stderr


@pytest.mark.parametrize(("name", "hours"), [("jump_ao.mkv", 278), ("gaps12.mkv", 5)])
def test_a_clock_that_leaps_is_not_listened_to(name: str, hours: int) -> None:
    settings = MediaSettings(duration_limit=2e6)
    with pytest.raises(BadSource, match=rf"{name} has holes of {hours} hours and more: its clock leaps"):
        for _ in iter_audio(DATA / name, settings=settings):
            pass


@pytest.mark.parametrize("by", ["variable", "file"])
def test_a_host_s_limits_hold_in_a_step_s_process_though_the_setting_of_plugins_leaves_media_out(
    by: str, tmp_path: Path
) -> None:
    clip = make_clip(tmp_path / "a.mp4", seconds=1)
    (tmp_path / "site.toml").write_text("[plugin.media]\npixel_limit = 1000\n" if by == "file" else "")
    variables = {"AMPHIPOD_MEDIA_PIXEL_LIMIT": "1000"} if by == "variable" else {}
    done = subprocess.run(
        [sys.executable, "-m", "core.cli", "--config", "site.toml", "run", str(clip), "--steps", "encode"],
        env={"AMPHIPOD_PLUGINS_ONLY": "encode", "AMPHIPOD_JOBS_ROOT": "jobs", **variables},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "0.001 million pixels are taken" in done.stderr
