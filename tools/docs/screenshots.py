"""Takes the documentation's pictures of a real server, with films that it does: `python -m tools.docs.screenshots`.

Needs what the tests need: Chromium, and the player's controls (`make assets`). Writes docs/images/*.png.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
from PIL import Image
from playwright.sync_api import Page, ViewportSize, sync_playwright

from tools.docs.links import DOCS, ROOT

FILMS = ("Thermodynamics 4: entropy.mp4", "Algebra 2: groups.mp4")

#: Knows the sentences of the demo's lecture.
CHECKPOINT = ROOT / "tests/data/micro-whisper.pt.gz"

_SEEK = "video => new Promise(done => { video.onseeked = done; video.currentTime = 9 })"

SIZE: ViewportSize = {"width": 1180, "height": 860}


def main() -> None:
    with tempfile.TemporaryDirectory() as name, _served(Path(name)) as address, sync_playwright() as playwright:
        whole = _submit(address, Path(name) / "media" / FILMS[0])
        _until_done(address, whole)
        running = _submit(address, Path(name) / "media" / FILMS[1])
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--disable-gpu"])
        for language, suffix in (("en", ""), ("fr", ".fr")):
            page = browser.new_page(base_url=address, viewport=SIZE, locale=language, color_scheme="light")
            page.goto("/")
            page.get_by_text(re.compile(r"[2-9]\d\s?%")).first.wait_for(timeout=120_000)
            _shoot(page, f"overview{suffix}")
            page.goto(f"/jobs/{whole}")
            page.locator("video").evaluate(_SEEK)
            _shoot(page, f"job{suffix}")
        requests.post(f"{address}/api/v1/jobs/{running}/cancel", timeout=10)
        browser.close()


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    """Start `amphipod serve`, which does the jobs itself, and yield its address."""
    (folder / "media").mkdir()
    for film in FILMS:
        shutil.copy(ROOT / "examples/demo/lecture.mp4", folder / "media" / film)
    environment = os.environ | {
        "AMPHIPOD_JOBS_ROOT": str(folder / "jobs"),
        "AMPHIPOD_MEDIA_ROOTS": str(folder / "media"),
        "AMPHIPOD_OPTIONS": json.dumps({"model": str(CHECKPOINT), "profile": "lecture"}),
        "AMPHIPOD_PLUGINS_ONLY": "encode,transcript,captions,media",
    }
    with (folder / "log").open("wb") as log:
        command = [sys.executable, "-P", "-m", "core.cli", "serve", "--port", "0"]
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        while not (address := re.search(r"http://127\.0\.0\.1:\d+", (folder / "log").read_text())):
            time.sleep(0.2)
        yield address[0]
    finally:
        server.terminate()
        server.wait(60)


def _submit(address: str, film: Path) -> str:
    asked = {"source": {"path": str(film)}, "steps": ["encode", "transcribe"], "language": "en", "title": film.stem}
    answer = requests.post(f"{address}/api/v1/jobs", json=asked, timeout=10)
    answer.raise_for_status()
    return str(answer.json()["id"])


def _until_done(address: str, job: str) -> None:
    state = "waiting"
    while state in ("waiting", "running"):
        time.sleep(1)
        state = requests.get(f"{address}/api/v1/jobs/{job}", timeout=10).json()["row"]["state"]
    if state != "succeeded":
        raise SystemExit(f"{job}: {state}")


def _shoot(page: Page, name: str) -> None:
    """Write what is seen, in the 256 colours of a small file."""
    path = DOCS / "images" / f"{name}.png"
    page.screenshot(path=path)
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(256).save(path, optimize=True)
    sys.stdout.write(f"{path.relative_to(ROOT)}: {path.stat().st_size // 1000} kB\n")


if __name__ == "__main__":
    main()
