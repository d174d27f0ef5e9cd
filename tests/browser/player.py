"""What the tests do with a page's `video`, however long a busy machine takes over it."""

from __future__ import annotations

import io
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

from core.testing import frame_number

#: Before a player has attached its source, a play() would be interrupted by that source's load.
LOADED = "video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA"

#: Seconds until a frame that was sought is on the screen; Chromium decodes and draws on the processor here.
_PATIENCE = 20


def picture(page: Page, selector: str, file: Path) -> Image.Image:
    """Photograph a part of a page; the file can be looked at afterwards."""
    return Image.open(io.BytesIO(page.locator(selector).screenshot(path=file)))


def plays(page: Page) -> None:
    """Wait until pictures have moved on by a second; a film that is at its end begins again."""
    begin = page.evaluate(
        """async () => {
            if (video.currentTime > video.duration - 2) video.currentTime = 0;
            while (video.seeking) await new Promise(requestAnimationFrame);
            return video.currentTime;
        }"""
    )
    page.wait_for_function(
        """begin => {
            if (video.paused) video.play().catch(() => {});  // a change of quality may interrupt it: asked again
            return video.currentTime > begin + 1;
        }""",
        arg=begin,
    )


def seek(page: Page, seconds: float) -> None:
    page.evaluate("seconds => { video.pause(); video.currentTime = seconds }", seconds)
    page.wait_for_function("!video.seeking")


def shows(page: Page, file: Path, wanted: object, selector: str = "#video") -> int:
    """Photograph until the number of the frame that is shown is the wanted one, or for some seconds; return it.

    A player says that it has sought before what it found is drawn.
    """
    end = time.monotonic() + _PATIENCE
    while (shown := frame_number(picture(page, selector, file))) != wanted and time.monotonic() < end:
        page.wait_for_timeout(100)
    return shown
