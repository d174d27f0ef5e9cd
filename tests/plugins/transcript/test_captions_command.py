"""`amphipod captions import`: what it writes, what it refuses, and what a kill leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from typer.testing import CliRunner

from core import Artifact, Job, Segment, Source, Transcript, Word, correctable
from core.cli import build
from core.errors import AmphipodError
from core.pipeline.planning import Host
from core.plugin_host.manager import Manager
from core.settings import Settings
from plugins.transcript.captions.caption_files import write
from plugins.transcript.captions.review import About
from plugins.transcript.options import CaptionOptions

from ...conftest import ended

SAID = ("Today we speak of the enter pea.", "It never falls.")

Published = Callable[..., str]


@pytest.fixture
def published(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Published:
    """Return a function that publishes captions into `out`, as a job of that id."""
    only = settings.model_copy(update={"plugins_only": ("captions",)})
    monkeypatch.setenv("AMPHIPOD_JOBS_ROOT", str(settings.jobs_root))
    monkeypatch.setenv("AMPHIPOD_PLUGINS_ONLY", "captions")
    monkeypatch.setenv("COLUMNS", "200")

    def publish(formats: str = "vtt,srt,json,txt", languages: tuple[str, ...] = ("en",)) -> str:
        source = Path("lecture.mp3").absolute()
        source.touch()
        job = Job(id="j1", sources=(Source(path=source),), steps=("transcribe",), output=Path("out").absolute())
        options = CaptionOptions.model_validate({"formats": formats})

        def make(place: Path) -> list[Artifact]:
            return [one for code in languages for one in write(heard(code), options, place, About("j1", "lecture"))]

        ended(Host(only, Manager(only)), job, make, facts={"duration": 30.0}, options=options.model_dump(mode="json"))
        return job.id

    return publish


def heard(language: str) -> Transcript:
    """Say a sentence every ten seconds, a word every half."""
    segments = []
    for at, text in enumerate(SAID):
        words = tuple(
            Word(text=word, start=10 * at + n / 2, end=10 * at + n / 2 + 0.4, confidence=0.9)
            for n, word in enumerate(text.split())
        )
        segments.append(Segment(text=text, start=words[0].start, end=words[-1].end, words=words))
    return Transcript(language=language, segments=tuple(segments))


def corrected(name: str = "transcript_en.vtt", before: str = "enter pea", after: str = "entropy") -> Path:
    """Save what the job has published, put right, as a person does elsewhere."""
    file = Path(name).absolute()
    text = Path("out", next(Path("out").glob("*.vtt")).name).read_text(encoding="utf-8")
    file.write_text(text.replace(before, after), encoding="utf-8")
    return file


def amphipod(*arguments: str) -> tuple[int, list[str]]:
    """Return the exit code and the lines that are told beside the answer."""
    done = CliRunner().invoke(build(list(arguments)), arguments)
    if isinstance(done.exception, AmphipodError):
        return done.exception.exit_code, [*done.stderr.splitlines(), str(done.exception)]
    return done.exit_code, done.stderr.splitlines()


def test_all_files_of_the_language_are_written_anew_and_words_that_stay_keep_their_times(published: Published) -> None:
    published()

    code, told = amphipod("captions", "import", str(corrected()), "--out", "out")

    assert (code, told) == (0, ["corrected: 2 captions of job j1"])
    assert all("entropy" in path.read_text(encoding="utf-8") for path in Path("out").iterdir())
    words = json.loads(Path("out/transcript_en.json").read_text())["segments"][0]["words"]
    assert [(one["text"], one["start"]) for one in words[:2]] == [("Today", 0.0), ("we", 0.5)]


def test_without_json_it_says_that_words_have_no_times_of_their_own(published: Published) -> None:
    published("vtt,review")

    code, told = amphipod("captions", "import", str(corrected()), "j1")

    assert code == 0
    assert "warning: `json` is not among the job's formats, so words share the time of their caption" in told[0]


def test_captions_of_which_most_are_missing_are_told_of(published: Published) -> None:
    published()
    file = Path("transcript_en.vtt")
    file.write_text("WEBVTT\n\n00:10.000 --> 00:12.000\nIt never falls.\n")

    code, told = amphipod("captions", "import", str(file), "j1")

    assert (code, told) == (
        0,
        [f"{file}: warning: it has 3 words where 10 were heard", "corrected: 1 caption of job j1"],
    )


@pytest.mark.parametrize(
    ("file", "arguments", "words"),
    [
        ("transcript_en.vtt", (), "captions import: one of a job and --out FOLDER is due"),
        ("transcript_en.vtt", ("j2",), "one whose files went is forgotten in time"),
        ("mine.vtt", ("j1",), "job j1 has captions in en, fr: say which with --language"),
        ("transcript_en.vtt", ("j1", "--language", "de"), "job j1 has captions in en, fr: say which with --language"),
        ("transcript_en.vtt", ("--out", "."), "no jobs have published files of transcribe here: name the job"),
    ],
)
def test_a_wrong_call_is_refused_in_a_line(
    published: Published, file: str, arguments: tuple[str, ...], words: str
) -> None:
    published(languages=("en", "fr"))

    code, told = amphipod("captions", "import", str(corrected(file)), *arguments)

    assert code == 2
    assert told[-1].endswith(words)
    assert len(told) == 1
    assert "enter pea" in Path("out/transcript_en.vtt").read_text()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"WEBVTT\n\n\xff", "is not in UTF-8: save it as UTF-8"),
        (b"1\n00:00", "1 fault, nothing was changed: correct these"),
        (b"WEBVTT\n\n00:01.000 --> 00:50.000\nlate\n", "1 fault, nothing was changed: correct these"),
        (b"WEBVTT\n", "1 fault, nothing was changed: correct these"),
        (None, "can't be read (no such file or directory)"),
    ],
    ids=["bytes", "no webvtt", "beyond the end", "empty", "missing"],
)
def test_a_file_that_is_no_captions_changes_nothing(published: Published, data: bytes | None, words: str) -> None:
    published()
    file = Path("transcript_en.vtt")
    if data is not None:
        file.write_bytes(data)

    code, told = amphipod("captions", "import", str(file), "j1")

    assert (code, told[-1]) == (2, f"{file}: {words}")
    assert all("enter pea" in path.read_text(encoding="utf-8") for path in Path("out").iterdir())


@pytest.mark.long
def test_a_kill_leaves_the_old_or_the_new_whole(published: Published, settings: Settings) -> None:
    published()
    random, command = Random(15), [sys.executable, "-m", "core.cli", "captions", "import"]
    before = "enter pea"
    outcomes: set[bool] = set()
    for number in range(100):
        if number >= 20 and outcomes == {True, False}:
            break
        after = f"entropy {number}"
        file = corrected(before=before, after=after)
        with subprocess.Popen([*command, str(file), "j1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
            _wait_for_work(running, random.uniform(0, 0.1))
            running.send_signal(signal.SIGKILL)
            running.communicate()

        found = correctable("j1", "transcribe", settings=settings)

        texts = {path.name: path.read_text(encoding="utf-8") for path in found.places.values()}
        said = after if after in texts["transcript_en.vtt"] else before
        assert all(said in text for text in texts.values())
        assert [one.size for one in found.result.artifacts] == [
            len(texts[one.path].encode()) for one in found.result.artifacts
        ]
        outcomes.add(said == after)
        before = said
    assert outcomes == {True, False}


def _wait_for_work(running: subprocess.Popen[bytes], seconds: float) -> None:
    """Return some time after a process has begun to put its files in place."""
    while running.poll() is None and not any(Path(os.environ["AMPHIPOD_JOBS_ROOT"]).glob("jobs/*/out/*.corrected-*")):
        time.sleep(0.0005)
    time.sleep(seconds)
