"""The page to review captions, opened from the disk beside its sound: by hand, by key, and by a hostile lecture."""

from __future__ import annotations

import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Dialog, Page

from core import Artifact, Job, Segment, Source, Transcript, Word
from core.pipeline.planning import Host
from core.plugin_host.manager import Manager
from core.settings import Settings
from core.web import tokens
from plugins.transcript.captions.caption_files import write
from plugins.transcript.captions.review import About
from plugins.transcript.captions.webvtt_file import read
from plugins.transcript.options import CaptionOptions

from ..conftest import ended
from ..web.conftest import OpenSite, open_site  # noqa: F401  # a fixture

HOSTILE = "</script><script>alert(1)</script> <img src=x onerror=alert(1)>"
SAID = (("Bonjour à tous.", 0.9, None), (HOSTILE, 0.2, "en"), ("Merci.", 0.3, None))


def sound(file: Path) -> Path:
    """Write 20 s of silence."""
    with wave.open(str(file), "wb") as opened:
        opened.setparams((1, 2, 8000, 0, "NONE", ""))
        opened.writeframes(bytes(2 * 8000 * 20))
    return file


def transcript() -> Transcript:
    segments = []
    for at, (text, sure, language) in enumerate(SAID):
        parts = text.split()
        words = tuple(
            Word(text=part, start=7 * at + 0.2 * n, end=7 * at + 0.2 * n + 0.2, confidence=sure)
            for n, part in enumerate(parts)
        )
        segments.append(Segment(text=text, start=7 * at, end=words[-1].end, words=words, language=language))
    facts = {"speech_without_words": {"seconds": 1.5, "where": [[17.0, 18.5]]}}
    return Transcript(language="fr", segments=tuple(segments), facts=facts)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("review")
    sound(folder / "a b.wav")
    write(transcript(), CaptionOptions(formats=("review",)), folder, About("job-1", HOSTILE, ("a b.wav",)))
    return (folder / "transcript_fr.review.html").as_uri()


@pytest.fixture
def opened(browser: Browser, address: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page in French; what it complains of, opens or asks of a host fails the test."""
    context = browser.new_context(locale=getattr(request, "param", "fr-FR"))
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("request", lambda asked: complaints.append(asked.url) if asked.url.startswith("http") else None)

    def refuse(dialog: Dialog) -> None:
        complaints.append(dialog.message)
        dialog.accept()

    page.on("dialog", refuse)
    page.goto(address)
    page.wait_for_selector("li.cue")
    yield page
    context.close()
    assert complaints == []


@pytest.mark.parametrize(
    ("opened", "title"),
    [("fr-FR", "Sous-titres douteux (2)"), ("en-GB", "Doubtful captions (2)")],
    indirect=["opened"],
)
def test_doubtful_captions_come_first_in_the_browser_s_language(opened: Page, title: str) -> None:
    assert opened.locator("h2").first.text_content() == title
    assert opened.locator("h2").count() == 3
    assert opened.locator("mark").last.text_content() == "Merci"


def test_what_a_lecture_says_is_text(opened: Page) -> None:
    assert opened.locator("main img").count() == 0
    texts = opened.locator("textarea").evaluate_all("all => all.map((one) => one.value).join(' ')")
    assert "</script><script>alert(1)</script>" in " ".join(texts.split())


def test_keys_go_to_a_caption_and_play_it_from_a_second_before_to_its_end(opened: Page) -> None:
    opened.keyboard.press("n")
    opened.keyboard.press("n")
    opened.locator("#media").evaluate("media => { media.muted = true; media.playbackRate = 4 }")
    end = opened.evaluate("items[1].cue.end / 1000")
    start = opened.evaluate("items[1].cue.start / 1000 - 1")
    opened.evaluate("media.addEventListener('seeked', () => { globalThis.from = media.currentTime }, { once: true })")
    opened.keyboard.press("Enter")
    opened.evaluate("new Promise((done) => media.addEventListener('pause', done, { once: true }))")
    assert opened.evaluate("globalThis.from") == pytest.approx(start, abs=0.3)
    assert end <= opened.evaluate("media.currentTime") < end + 2


def test_what_is_saved_has_the_corrections_and_the_speech_that_was_written_down(opened: Page) -> None:
    opened.get_by_role("textbox", name="Texte à 00:00:14").fill("Merci <b>\n\nbien & à --> bientôt")
    opened.get_by_role("textbox", name="Texte à 00:00:17").fill("Une question.")
    with opened.expect_download() as saved:
        opened.get_by_role("button", name="Enregistrer les sous-titres corrigés").click()
    assert saved.value.suggested_filename == "transcript_fr.vtt"
    cues, faults = read(Path(saved.value.path()).read_text(encoding="utf-8"))
    assert faults == []
    assert [one.cue.language for one in cues if one.cue.start < 16_000] == ["", "en", ""]
    assert [" ".join(one.cue.lines) for one in cues[-2:]] == ["Merci <b> bien & à --> bientôt", "Une question."]
    assert (cues[-1].cue.start, cues[-1].cue.end) == (17_000, 18_500)


def test_axe_finds_nothing(opened: Page, modules: Path) -> None:
    opened.locator("summary").click()
    opened.evaluate((modules / "axe-core/axe.min.js").read_text())
    found: Any = opened.evaluate("axe.run()")
    assert [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]] == []


class TestServed:
    """By `amphipod serve`, to whoever has a token."""

    @pytest.fixture
    def place(self, open_site: OpenSite, settings: Settings, tmp_path: Path) -> tuple[str, Path]:  # noqa: F811
        """Where a job's files are served, and where they lie."""
        only = settings.model_copy(update={"plugins_only": ("captions",)})
        job = Job(id="j1", sources=(Source(path=sound(tmp_path / "a.wav")),), steps=("transcribe",))

        def make(folder: Path) -> list[Artifact]:
            sound(folder / "a b.wav")
            options, about = CaptionOptions(formats=("review",)), About("j1", HOSTILE, ("a b.wav",))
            heard = Artifact(kind="audio", path="a b.wav", media_type="audio/wav", language="fr")
            return [heard, *write(transcript(), options, folder, about)]

        folder = ended(Host(only, Manager(only)), job, make)
        return f"{open_site(only).url}/api/v1/jobs/j1/files", folder.out / "transcribe.1"

    def test_a_click_on_a_doubtful_caption_plays_it_and_no_word_is_code(
        self, browser: Browser, place: tuple[str, Path], settings: Settings
    ) -> None:
        _, token = tokens.create(settings.jobs_root, "read")
        context = browser.new_context(locale="fr-FR")
        page = context.new_page()
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))  # and is never closed
        address = f"{place[0]}/transcript_fr.review.html"
        assert getattr(page.goto(address), "status", 0) == 401

        context.set_extra_http_headers({"Authorization": f"Bearer {token}"})
        page.goto(address)
        page.evaluate(
            "void (globalThis.played = new Promise((done) => media.addEventListener('playing', () => done())))"
        )
        page.get_by_role("button", name="Écouter").nth(0).click()
        page.evaluate("played")

        assert 6 <= page.evaluate("media.currentTime") < 10
        assert page.evaluate("new URL(media.currentSrc).pathname").endswith("/files/a%20b.wav")
        assert page.locator("main img").count() == 0
        assert page.evaluate("fetch('/api/v1/jobs').catch((error) => error.name)") == "TypeError"
        assert page.evaluate("open('/') === null")
        assert complaints == []
        context.close()

    def test_one_that_somebody_has_changed_runs_no_script(self, browser: Browser, place: tuple[str, Path]) -> None:
        address, folder = place
        changed = folder / "transcript_fr.review.html"
        changed.write_text(changed.read_text(encoding="utf-8") + "<script>document.title = 'mine'</script>")
        page = browser.new_page()
        page.goto(f"{address}/{changed.name}")
        assert (page.locator("#lists").count(), page.locator("li.cue").count()) == (1, 0)
        page.close()
