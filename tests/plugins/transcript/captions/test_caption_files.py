"""What is written: read again by webvtt-py, by Chromium, and by the definition of SubRip."""

from __future__ import annotations

import json
import math
import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import webvtt
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from playwright.sync_api import Page, sync_playwright

from core import Artifact, Job, Manifest, Segment, Source, State, Transcript, Word
from core.model import ManifestStep
from core.storage.job_folder import JobFolder
from core.web.player import stand_alone
from plugins.transcript.captions.caption_files import write
from plugins.transcript.captions.corrections import correct
from plugins.transcript.captions.cues import Cue, build_cues
from plugins.transcript.captions.formats import plain, subrip
from plugins.transcript.captions.formats import webvtt as render
from plugins.transcript.options import CaptionOptions

RULES = CaptionOptions()
NASTY = (
    "a < b & c --> d <c.red>e</c> <00:01.000> &lt; 1\n\nNOTE no note 00:00:01.000 --> 00:00:02.000 \u2028 \x00 é漢🎓"
)

texts = st.text(max_size=60) | st.sampled_from([NASTY, "-->", "&amp;", "<b>", "WEBVTT", "NOTE", "1"])


def transcript(*sentences: str, language: str = "en", words: bool = True, pause: float = 0.0) -> Transcript:
    """Say one sentence every four seconds."""
    segments = []
    for number, text in enumerate(sentences):
        start = number * (4.0 + pause)
        parts = text.split()
        step = 3.0 / max(len(parts), 1)
        said = tuple(
            Word(text=part, start=start + at * step, end=start + (at + 1) * step, confidence=0.9)
            for at, part in enumerate(parts)
        )
        segments.append(Segment(text=text, start=start, end=start + 3.0, words=said if words else ()))
    return Transcript(language=language, segments=tuple(segments))


def cues_of(heard: Transcript) -> list[Cue]:
    return build_cues(heard.segments, heard.language, RULES)


def seconds(clock: str) -> int:
    hours, minutes, rest = clock.replace(",", ".").split(":")
    return round((int(hours) * 60 + int(minutes)) * 60_000 + float(rest) * 1000)


@settings(deadline=None)
@given(st.lists(texts, max_size=6))
def test_webvtt_py_reads_each_cue_as_it_was_meant(sentences: list[str]) -> None:
    heard = transcript(*sentences)
    cues = cues_of(heard)

    read = webvtt.from_string(render(heard, cues)).captions

    assert [(seconds(caption.start), seconds(caption.end)) for caption in read] == [(c.start, c.end) for c in cues]
    assert [len(caption.lines) for caption in read] == [len(cue.lines) for cue in cues]


@settings(deadline=None)
@given(st.lists(texts, max_size=6))
def test_subrip_is_a_list_of_numbered_blocks(sentences: list[str]) -> None:
    heard = transcript(*sentences)
    cues = cues_of(heard)

    blocks = [block for block in subrip(heard, cues).split("\n\n") if block]

    assert len(blocks) == len(cues)
    for number, (block, cue) in enumerate(zip(blocks, cues, strict=True), 1):
        head, times, *lines = block.rstrip("\n").split("\n")
        match = re.fullmatch(r"(\d\d:\d\d:\d\d,\d{3}) --> (\d\d:\d\d:\d\d,\d{3})", times)
        assert match
        assert (int(head), seconds(match[1]), seconds(match[2])) == (number, cue.start, cue.end)
        assert lines == [line.replace("-->", "->") for line in cue.lines]


@pytest.fixture(scope="module")
def browser_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Page, Path, str]]:
    """A page of Chromium, a folder, and the address under which the page sees it."""
    folder = tmp_path_factory.mktemp("served")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=arguments)
        yield browser.new_page(), folder, f"http://127.0.0.1:{server.server_address[1]}"
        browser.close()
    server.shutdown()
    server.server_close()


READ_TRACK = """async () => {
  const element = document.querySelector('track');
  element.track.mode = 'hidden';
  await new Promise((loaded, failed) => { element.onload = loaded; element.onerror = failed; });
  return Array.from(element.track.cues).map(cue => [cue.startTime, cue.endTime, cue.getCueAsHTML().textContent]);
}"""


def test_chromium_shows_each_cue_as_it_was_meant(browser_page: tuple[Page, Path, str]) -> None:
    page, folder, address = browser_page
    heard = transcript(NASTY, "Plain words.", "Avez-vous des questions ?", "-->", "<b>bold</b> & co", language="fr")
    cues = cues_of(heard)
    (folder / "nasty.vtt").write_text(render(heard, cues), encoding="utf-8")
    (folder / "page.html").write_text('<video><track src="nasty.vtt"></video>')

    page.goto(f"{address}/page.html")
    shown = page.evaluate(READ_TRACK)

    assert [[cue.start / 1000, cue.end / 1000, "\n".join(cue.lines)] for cue in cues] == shown


#: The lines of the first cue, each as its characters stand from left to right, set as WebVTT says (section 7.4).
SEEN = """async () => {
  const element = document.querySelector('track');
  element.track.mode = 'hidden';
  await new Promise((loaded, failed) => { element.onload = loaded; element.onerror = failed; });
  const place = document.createElement('div');
  place.style = 'unicode-bidi: plaintext; white-space: pre-line; font: 20px sans-serif; width: 800px';
  place.append(element.track.cues[0].getCueAsHTML());
  document.body.append(place);
  const lines = new Map();
  for (const text of textsOf(place)) {
    for (let at = 0; at < text.length; at++) {
      const range = document.createRange();
      range.setStart(text, at);
      range.setEnd(text, at + 1);
      const box = range.getBoundingClientRect();
      if (!box.width) continue;
      const line = Math.round(box.top / 20);
      lines.set(line, [...(lines.get(line) ?? []), [box.left, text.data[at]]]);
    }
  }
  return [...lines.values()].map(all => all.sort((one, other) => one[0] - other[0]).map(one => one[1]).join(''));
  function textsOf(node) {
    return node.nodeType === Node.TEXT_NODE ? [node] : [...node.childNodes].flatMap(textsOf);
  }
}"""


@pytest.mark.parametrize(
    ("language", "said", "seen"),
    [
        ("he", "Python היא שפה.", [".הפש איה Python"]),
        ("he", "מהי שפת C++?", ["?C++ תפש יהמ"]),
        ("ar", "TCP هو بروتوكول (1974).", [".)1974( لوكوتورب وه TCP"]),
        ("ja", "熱は高温の物体から、「低温の物体」へ流れる。", ["熱は高温の物体から、", "「低温の物体」へ流れる。"]),
    ],
)
def test_chromium_sets_each_script_in_its_order(
    browser_page: tuple[Page, Path, str], language: str, said: str, seen: list[str]
) -> None:
    page, folder, address = browser_page
    heard = transcript(said, language=language)
    name = f"{language}-{len(said)}"  # a browser keeps what it has read of an address
    (folder / f"{name}.vtt").write_text(render(heard, cues_of(heard)), encoding="utf-8")
    (folder / f"{name}.html").write_text(f'<video><track src="{name}.vtt"></video>')

    page.goto(f"{address}/{name}.html")

    assert page.evaluate(SEEN) == seen


def test_chromium_takes_a_file_without_cues(browser_page: tuple[Page, Path, str]) -> None:
    page, folder, address = browser_page
    (folder / "empty.vtt").write_text(render(transcript(), []), encoding="utf-8")
    (folder / "empty.html").write_text('<video><track src="empty.vtt"></video>')

    page.goto(f"{address}/empty.html")

    assert page.evaluate(READ_TRACK) == []


def test_four_files_and_their_names(tmp_path: Path) -> None:
    artifacts = write(transcript("One two.", language="fr"), RULES, tmp_path)

    assert [(artifact.path, artifact.kind, artifact.media_type, artifact.language) for artifact in artifacts] == [
        ("transcript_fr.vtt", "caption", "text/vtt", "fr"),
        ("transcript_fr.srt", "caption", "application/x-subrip", "fr"),
        ("transcript_fr.json", "transcript", "application/json", "fr"),
        ("transcript_fr.txt", "transcript", "text/plain", "fr"),
    ]
    assert sorted(path.name for path in tmp_path.glob("transcript_*")) == sorted(
        artifact.path for artifact in artifacts
    )


def test_only_the_formats_that_were_asked_for(tmp_path: Path) -> None:
    write(transcript("One."), CaptionOptions.model_validate({"formats": "srt, txt"}), tmp_path)

    assert sorted(path.name for path in tmp_path.glob("transcript_*")) == ["transcript_en.srt", "transcript_en.txt"]


def test_a_language_can_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    (artifact,) = write(transcript("One.", language="../../x"), CaptionOptions(formats=("vtt",)), tmp_path)

    assert artifact.path == "transcript_x.vtt"


def test_json_holds_words_and_confidences(tmp_path: Path) -> None:
    write(transcript("One two."), CaptionOptions(formats=("json",)), tmp_path)

    read = json.loads((tmp_path / "transcript_en.json").read_text())
    assert read["segments"][0]["words"][1] == {"text": "two.", "start": 1.5, "end": 3.0, "confidence": 0.9}
    assert Transcript.model_validate(read) == transcript("One two.")


nothing = st.floats() | st.sampled_from([math.nan, math.inf, -1.0, 1e300])
odd = st.builds(
    Word, text=st.text() | st.just("a\ud800\x00b"), start=nothing, end=nothing, confidence=st.none() | nothing
)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.builds(Segment, text=texts, start=nothing, end=nothing, words=st.lists(odd, max_size=4)), max_size=3)
)
def test_whatever_an_engine_says_every_file_is_whole(tmp_path: Path, said: list[Segment]) -> None:
    facts = {"speech_given_up": {"where": [[math.nan, 1.0]]}, "speech_without_words": {"where": None}}
    heard = Transcript(language="a" * 300, segments=said, facts=facts)

    made = write(heard, CaptionOptions(formats=("vtt", "srt", "json", "txt", "review")), tmp_path)

    assert [len(artifact.path) < 64 for artifact in made] == [True] * 5
    written = {artifact.media_type: (tmp_path / artifact.path).read_text(encoding="utf-8") for artifact in made}
    assert Transcript.model_validate_json(written["application/json"])
    assert "NaN" not in written["text/html"].split('type="application/json"')[1].split("</script>")[0]


def test_plain_text_has_a_paragraph_after_a_long_silence() -> None:
    heard = transcript("One.", "Two.", pause=0.0).segments + transcript("Three.").segments
    later = heard[2].model_copy(update={"start": 20.0, "end": 22.0})

    text = plain(Transcript(language="en", segments=(*heard[:2], later)), [])

    assert text == "One. Two.\n\nThree.\n"


class TestCorrections:
    def fixed(self, text: str, corrections: dict[str, str], *, words: bool = True) -> Segment:
        return correct(transcript(text, words=words), corrections).segments[0]

    def test_whole_words_in_any_case_with_their_punctuation(self) -> None:
        fixed = self.fixed("Soft max, softmaxes (SOFT MAX).", {"soft max": "softmax"})

        assert fixed.text == "softmax, softmaxes (softmax)."
        assert [word.text for word in fixed.words] == ["softmax,", "softmaxes", "(softmax)."]

    def test_the_time_of_what_was_replaced_is_kept(self) -> None:
        fixed = self.fixed("we call soft max now", {"soft max": "the softmax function"})

        assert [word.text for word in fixed.words] == ["we", "call", "the", "softmax", "function", "now"]
        assert fixed.words[2].start == pytest.approx(1.2)
        assert fixed.words[4].end == pytest.approx(2.4)

    def test_the_longest_expression_wins(self) -> None:
        assert self.fixed("big o notation", {"big o": "wrong", "big o notation": "O-notation"}).text == "O-notation"

    def test_text_without_word_times(self) -> None:
        fixed = self.fixed("Monsieur Carnau parle", {"carnau": "Carnot"}, words=False)

        assert (fixed.text, fixed.words) == ("Monsieur Carnot parle", ())

    @given(st.dictionaries(texts, texts, max_size=4), st.lists(texts, max_size=4))
    def test_no_rule_breaks_a_transcript(self, rules: dict[str, str], sentences: list[str]) -> None:
        cues_of(correct(transcript(*sentences), rules))


def test_a_page_opened_from_the_disk_shows_the_captions(browser_page: tuple[Page, Path, str], tmp_path: Path) -> None:
    page, _, _ = browser_page
    heard = transcript("L'été < l'hiver ?", language="fr")
    job = Job(id="j1", sources=(Source(path=tmp_path / "a.mp4"),), steps=("encode", "transcribe"), output=tmp_path)
    captions = ManifestStep(state=State.SUCCEEDED, artifacts=tuple(write(heard, RULES, tmp_path)))
    film = Artifact(kind="rendition", path="360p.mp4", media_type="video/mp4", height=360)
    steps = {"encode": ManifestStep(state=State.SUCCEEDED, artifacts=(film,)), "transcribe": captions}
    manifest = Manifest(job=job, state=State.SUCCEEDED, run=1, steps=steps, published_in=tmp_path)

    page.goto(f"file://{stand_alone.write(manifest, JobFolder(tmp_path, 'j1'))}")

    assert [text for _, _, text in page.evaluate(READ_TRACK)] == ["L'été < l'hiver\u202f?"]


def test_a_cue_in_another_language_says_so_in_webvtt_alone() -> None:
    said = (Segment(text="He says", start=0, end=1), Segment(text="a < b", start=1, end=2, language="fr"))
    heard = Transcript(language="en", segments=said)

    assert "<lang fr>a &lt; b</lang>" in render(heard, cues_of(heard))
    assert "lang" not in subrip(heard, cues_of(heard))
    assert [segment.get("language") for segment in json.loads(heard.to_json())["segments"]] == [None, "fr"]
