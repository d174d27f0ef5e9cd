"""The player: on a job's page, which a server sends with its strict policy, and in the one file of `run --page`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from core import Artifact, Segment, State, Transcript
from core.model import Manifest, ManifestStep
from core.storage import job_state
from core.storage.job_folder import JobFolder, names
from core.testing import fake_job, make_clip
from core.web.http.headers import POLICY
from core.web.player import part, player_context, stand_alone
from plugins.encode.output.chapters import write_chapters
from plugins.encode.source.texts import Chapter
from plugins.transcript.captions.caption_files import write
from plugins.transcript.options import CaptionOptions

from .conftest import SECONDS, Handler

SENTENCES = ("Bonjour à tous.", "L'entropie ne décroît pas.", "Voyons <pourquoi> & comment.", "Merci.")

#: A page as the server's templates make it.
SERVED = """<!DOCTYPE html><html lang="{language}"><head><meta charset="utf-8"><title>Film</title>
<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">
<style>:root {{ color-scheme: light dark; background: Canvas; color: CanvasText }}</style></head>
<body><main><h1>Film</h1>{player}</main></body></html>"""

Open = Callable[..., Page]


class Guarded(Handler):
    """Serves by our policy; what waits for a page's state is a string that the page evaluates."""

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", f"{POLICY}; script-src 'self' 'unsafe-eval'")
        super().end_headers()


@pytest.fixture(scope="module")
def site(site_folder: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Guarded, directory=str(site_folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def served(site: str, site_folder: Path, assets: Path) -> str:
    """Address of a page with a whole job: HLS and MP4, transcript and captions, chapters, previews."""
    (name,) = names(site_folder / "jobs")
    folder = JobFolder(site_folder / "jobs", name)
    media = site_folder / "media"
    made = job_state.fold(folder)
    spoken = Transcript(
        language="fr",
        segments=tuple(Segment(text=text, start=3.0 * at, end=3.0 * at + 2.5) for at, text in enumerate(SENTENCES)),
    )
    chapters = [Chapter(Fraction(0), Fraction(6), "Start"), Chapter(Fraction(6), Fraction(SECONDS), "Second <law>")]
    write_chapters(chapters, media / "chapters.vtt")
    encode = made.steps["encode"]
    more = Artifact(kind="chapters", path="chapters.vtt", media_type="text/vtt")
    steps = {
        "encode": encode.model_copy(update={"artifacts": (*encode.artifacts, more)}),
        "transcribe": ManifestStep(state=State.SUCCEEDED, artifacts=tuple(write(spoken, CaptionOptions(), media))),
    }
    whole = made.model_copy(update={"steps": steps})
    (media / "alone.html").write_text(stand_alone.render(whole, folder, media))
    (site_folder / "static").symlink_to(assets)
    for language in ("en", "fr"):
        player = part(player_context(whole, "media"), static_url="static", language=language)
        (site_folder / f"{language}.html").write_text(SERVED.format(language=language, player=player))
    return f"{site}/en.html"


@pytest.fixture(scope="module")
def alone(served: str, site_folder: Path) -> str:
    return f"file://{site_folder}/media/alone.html"


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Open an address in a context of its own; what the page complains of, or asks of another host, fails the test."""
    complaints: list[str] = []
    contexts = []

    def opened(address: str, *, script: str = "", width: int = 1100, height: int = 800, **options: Any) -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        context.set_default_timeout(60_000)
        context.add_init_script(script)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("request", lambda asked: None if _own(asked.url) else complaints.append(f"asked for {asked.url}"))
        page.goto(address)
        page.evaluate("globalThis.video = document.querySelector('video, audio'); if (video) video.muted = true")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def _own(url: str) -> bool:
    return url.startswith(("http://127.0.0.1:", "blob:http://127.0.0.1:", "data:", "file:", "about:"))


#: A browser that plays no HLS by itself.
WITHOUT_HLS = """const { canPlayType } = HTMLMediaElement.prototype;
HTMLMediaElement.prototype.canPlayType = function (type) {
    return type.includes("mpegurl") ? "" : canPlayType.call(this, type);
}"""


def choose(page: Page, group: str, label: str) -> None:
    value = page.locator(f".player-quality optgroup[label='{group}'] option", has_text=label).first.get_attribute(
        "value"
    )
    page.locator(".player-quality").select_option(value)


def seek(page: Page, seconds: float) -> None:
    page.wait_for_function("video.readyState > 0")
    page.evaluate("seconds => { video.currentTime = seconds }", seconds)
    page.wait_for_function("!video.seeking")


def is_at(page: Page, seconds: float) -> None:
    page.wait_for_function("seconds => Math.abs(video.currentTime - seconds) < 0.5", arg=seconds)


@pytest.mark.parametrize("script", ["", WITHOUT_HLS], ids=["the browser's HLS", "hls.js"])
def test_every_quality_plays_where_the_film_was(open_page: Open, served: str, script: str) -> None:
    page = open_page(served, script=script)
    seek(page, 4)
    for group, label, height in (
        ("HLS", "1080p", 1080),
        ("HLS", "360p", 360),
        ("Files", "720p", 720),
        ("HLS", "Auto", 0),
    ):
        choose(page, group, label)
        page.wait_for_function("height => height ? video.videoHeight === height : video.videoHeight > 0", arg=height)
        is_at(page, 4)
    page.keyboard.press("Escape")
    page.evaluate("video.play()")
    page.wait_for_function("video.currentTime > 4.5")
    assert page.locator(".player-fault").is_hidden()


def test_from_the_disk_every_mp4_plays_and_one_line_says_what_plays_the_rest(open_page: Open, alone: str) -> None:
    page = open_page(alone)
    assert page.locator(".player-quality option").all_inner_texts() == ["720p", "360p"]
    page.wait_for_function("video.videoHeight === 720")
    choose(page, "Files", "360p")
    page.wait_for_function("video.videoHeight === 360")
    assert page.locator(".player-hint").inner_text().endswith("up to 1080p: amphipod serve")


@pytest.mark.parametrize("where", ["served", "alone"])
def test_a_button_shows_the_captions(open_page: Open, where: str, request: pytest.FixtureRequest) -> None:
    page = open_page(request.getfixturevalue(where))
    shown = "[...video.textTracks].filter(one => one.mode === 'showing' && one.kind !== 'chapters')"
    seek(page, 3.5)
    assert page.evaluate(f"{shown}.length") == 0
    page.locator("media-captions-button").click()
    page.wait_for_function(f"{shown}[0]?.activeCues?.[0]?.text === {SENTENCES[1]!r}")
    choose(page, "Files", "360p")
    page.wait_for_function(f"video.videoHeight === 360 && {shown}[0]?.activeCues?.[0]?.text === {SENTENCES[1]!r}")
    page.locator("media-captions-button").click()
    page.wait_for_function(f"{shown}.length === 0")


@pytest.mark.parametrize("where", ["served", "alone"])
def test_the_seek_bar_shows_what_is_there(
    open_page: Open, where: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    page = open_page(request.getfixturevalue(where))
    page.wait_for_function("[...video.textTracks].find(one => one.label === 'thumbnails').cues?.length === 10")
    page.wait_for_function("video.readyState > 0")
    page.locator("media-time-range").hover(position={"x": 500, "y": 20})
    picture = page.locator("media-preview-thumbnail img")
    picture.wait_for(state="visible")
    page.wait_for_function("picture => picture.naturalWidth === 1600", arg=picture.element_handle())
    assert (page.locator("media-time-range").get_attribute("mediapreviewchapter") or "").startswith("Second")
    page.screenshot(path=tmp_path / "preview.png")


@pytest.mark.parametrize("where", ["served", "alone"])
def test_the_transcript_seeks_and_follows_the_film(open_page: Open, where: str, request: pytest.FixtureRequest) -> None:
    page = open_page(request.getfixturevalue(where))
    lines = page.locator(".player-transcript li")
    lines.nth(3).wait_for()
    assert [line.split("\n")[-1] for line in lines.all_inner_texts()] == list(SENTENCES)
    page.get_by_text(SENTENCES[2]).click()
    is_at(page, 6)
    page.locator(".player-transcript [aria-current]", has_text=SENTENCES[2]).wait_for()  # told some times a second
    seek(page, 10)
    page.locator(".player-transcript [aria-current]", has_text=SENTENCES[3]).wait_for()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    is_at(page, 3)


def test_the_transcript_is_searched_without_regard_to_accents(open_page: Open, alone: str) -> None:
    page = open_page(alone)
    search = page.get_by_role("searchbox")
    search.fill("DECROIT")
    assert page.locator(".player-transcript mark").all_inner_texts() == ["décroît"]
    assert page.locator(".player-transcript li:visible").count() == 1
    search.fill("nothing like it")
    assert page.get_by_role("status").inner_text() == "nothing found"
    search.fill("")
    assert page.locator(".player-transcript li:visible").count() == len(SENTENCES)


def test_chapters_seek(open_page: Open, served: str) -> None:
    page = open_page(served)
    page.get_by_role("button", name="Second <law>").click()
    is_at(page, 6)


def test_keys(open_page: Open, alone: str) -> None:
    page = open_page(alone)
    seek(page, 0)
    for key, condition in (
        ("5", "Math.abs(video.currentTime - video.duration / 2) < 0.1"),
        ("ArrowRight", "video.currentTime > 10"),
        ("ArrowLeft", "video.currentTime < 7"),
        (">", "video.playbackRate === 1.25"),
        ("<", "video.playbackRate === 1"),
        ("m", "!video.muted"),
        ("ArrowDown", "video.volume < 0.95"),
        ("c", "[...video.textTracks].some(one => one.kind === 'captions' && one.mode === 'showing')"),
        ("Space", "!video.paused"),
        ("Space", "video.paused"),
        ("f", "document.fullscreenElement?.localName === 'media-controller'"),
    ):
        page.keyboard.press(key)
        page.wait_for_function(condition)
    page.evaluate("document.exitFullscreen()")
    page.get_by_role("searchbox").fill("5 c")
    assert page.evaluate("video.paused && video.playbackRate === 1 && video.currentTime > 2")


def test_speed(open_page: Open, served: str) -> None:
    page = open_page(served)
    page.get_by_label("Speed").select_option("1.5")
    page.wait_for_function("video.playbackRate === 1.5")
    choose(page, "Files", "360p")
    page.wait_for_function("video.videoHeight === 360 && video.playbackRate === 1.5")


def test_it_fits_a_phone_in_the_dark_and_in_french(open_page: Open, alone: str, tmp_path: Path) -> None:
    page = open_page(alone, width=360, height=740, color_scheme="dark", locale="fr-FR")
    page.wait_for_function("video.videoWidth")
    page.screenshot(path=tmp_path / "phone.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    bar = page.locator(".player-bar")
    assert bar.bounding_box()["height"] < 50, "one line"  # type: ignore[index]
    assert page.evaluate("document.documentElement.lang") == "fr"
    assert page.get_by_label("Qualité").is_visible()
    assert page.locator("media-play-button").get_attribute("aria-label") == "lire"
    assert page.locator(".player-tracks option").all_inner_texts() == ["français", "français (du film)"]
    film, words = (page.locator(one).bounding_box() for one in ("video", ".player-transcript"))
    assert film
    assert words
    assert film["y"] + film["height"] < words["y"]
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(18, 18, 18)"


def test_a_served_page_is_in_its_own_language_whatever_the_browser_s(open_page: Open, served: str) -> None:
    page = open_page(served.replace("en.html", "fr.html"), locale="en-GB")
    assert page.get_by_label("Qualité").is_visible()
    assert page.locator("media-play-button").get_attribute("aria-label") == "lire"


@pytest.fixture
def plain(tmp_path: Path) -> Callable[..., str]:
    """Return the address of the page of a job that made these files, and heard something."""

    def write_page(*artifacts: Artifact, source: str = "My <b>film.mkv") -> str:
        spoken = Transcript(language="en", segments=(Segment(text="One.", start=0, end=1),))
        steps = {
            "encode": ManifestStep(state=State.SUCCEEDED, artifacts=artifacts),
            "transcribe": ManifestStep(
                state=State.SUCCEEDED, artifacts=tuple(write(spoken, CaptionOptions(formats=("json", "vtt")), tmp_path))
            ),
        }
        job = fake_job(tmp_path / source, output=tmp_path)
        made = Manifest(job=job, state=State.SUCCEEDED, run=1, steps=steps, published_in=tmp_path)
        return f"file://{stand_alone.write(made, JobFolder(tmp_path, job.id))}"

    return write_page


def test_a_portrait_film_fits_the_window(open_page: Open, plain: Callable[..., str], tmp_path: Path) -> None:
    make_clip(tmp_path / "90p.mp4", seconds=1, width=90, height=160)
    page = open_page(
        plain(Artifact(kind="rendition", path="90p.mp4", media_type="video/mp4", width=90, height=160)), height=600
    )
    page.wait_for_function("video.videoHeight === 160")
    page.screenshot(path=tmp_path / "portrait.png")
    box = page.locator("media-controller").bounding_box()
    assert box
    assert box["y"] + box["height"] < 600
    assert page.locator(".player-bar").bounding_box()["height"] < 50, "one line"  # type: ignore[index]
    assert page.locator(".player-quality option").all_inner_texts() == ["90p"]
    assert page.locator("h1").inner_text() == "My <b>film"


def test_sound_alone_has_its_transcript_too(open_page: Open, plain: Callable[..., str], tmp_path: Path) -> None:
    make_clip(tmp_path / "a#1.m4a", seconds=2, video=False)
    page = open_page(plain(Artifact(kind="audio", path="a#1.m4a", media_type="audio/mp4")))
    page.get_by_role("button", name="One.").click()
    page.keyboard.press("9")
    page.wait_for_function("video.currentTime > 1.5")
    page.screenshot(path=tmp_path / "sound.png")
    seek_bar, bar = (page.locator(one).bounding_box() for one in (".player-seek", ".player-bar"))
    assert seek_bar
    assert bar
    assert seek_bar["width"] == bar["width"] > 500


def test_without_an_encode_there_are_the_words(open_page: Open, plain: Callable[..., str]) -> None:
    page = open_page(plain())
    assert page.locator("video, audio, button").count() == 0
    assert page.locator(".player-transcript li").inner_text().endswith("One.")


def test_without_an_encode_a_source_that_browsers_know_plays(
    open_page: Open, plain: Callable[..., str], tmp_path: Path
) -> None:
    make_clip(tmp_path / "a 100%.mp4", seconds=1, width=160, height=90)
    page = open_page(plain(source="a 100%.mp4"))
    page.wait_for_function("video.videoHeight === 90")


def test_without_media_chrome_the_browser_s_controls_play(
    open_page: Open, alone: str, site_folder: Path, tmp_path: Path
) -> None:
    page_file = Path(alone.removeprefix("file://"))
    before, _, after = page_file.read_text().partition('<script type="module">')
    bare = page_file.with_name("bare.html")
    bare.write_text(before + '<script type="module">' + after.partition('<script type="module">')[2])
    page = open_page(f"file://{bare}")
    assert page.evaluate("video.controls")
    page.get_by_role("button", name="Captions").click()
    seek(page, 3.5)
    page.wait_for_function(f"video.textTracks[0].activeCues?.[0]?.text === {SENTENCES[1]!r}")
    choose(page, "Files", "360p")
    page.wait_for_function("video.videoHeight === 360")
    page.screenshot(path=tmp_path / "bare.png")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("where", ["served", "alone"])
def test_axe_finds_nothing(
    open_page: Open, where: str, scheme: str, request: pytest.FixtureRequest, modules: Path
) -> None:
    script = (modules / "axe-core/axe.min.js").read_text()
    page = open_page(request.getfixturevalue(where), script=script, color_scheme=scheme)
    page.wait_for_function("video.readyState > 0")
    for summary in page.locator("summary").all():
        summary.click()
    found: Any = page.evaluate("axe.run()")
    assert [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]] == []
