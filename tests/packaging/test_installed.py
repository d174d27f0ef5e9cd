"""Amphipod from its wheel, as an admin installs it, and each folder of examples/ beside it, in a job.

One file, so that one process makes the one environment of all.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest

from tests.packaging.conftest import ROOT, Bare, build_wheel


@pytest.fixture(scope="class")
def installed(request: pytest.FixtureRequest, bare: Bare, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Install the example that a class of tests is about."""
    folder = tmp_path_factory.mktemp("example")
    wheel = build_wheel(shutil.copytree(ROOT / "examples" / request.cls.example, folder / "source"), folder)
    if needs := getattr(request.cls, "needs", ()):
        install: list[str | Path] = ["install", "--quiet", "--constraint", ROOT / "constraints.txt", *needs]
        subprocess.run([bare.path / "bin/python", "-m", "pip", *install], check=True)
    done = bare.run("pip", "install", "--no-index", "--no-deps", wheel)
    assert done.returncode == 0, done.stderr
    yield
    bare.run("pip", "uninstall", "--yes", wheel.name.partition("-")[0])


def run(bare: Bare, clip: Path, *arguments: str, **variables: str) -> Any:
    """Run a job, and return its manifest's step `encode`."""
    return bare.json("amphipod", "run", clip, "--out", "result", "--json", *arguments, **variables)["steps"]["encode"]


def renditions(step: Any) -> set[str]:
    return {artifact["path"] for artifact in step["artifacts"] if artifact["kind"] == "rendition"}


def test_help_names_the_commands(bare: Bare) -> None:
    done = bare.run("amphipod", "--help")
    assert done.returncode == 0
    for command in ("run", "plugins", "hooks", "doctor"):
        assert f" {command} " in done.stdout


def test_the_built_in_plugins_are_found(bare: Bare) -> None:
    found = {plugin["name"]: plugin for plugin in bare.json("amphipod", "plugins", "--json")}
    assert found["encode"]["state"] == "ready"
    assert {"encode", "options_schema"} <= set(found["encode"]["hooks"])


def test_hooks_are_printed_for_scripts(bare: Bare) -> None:
    encode = next(hook for hook in bare.json("amphipod", "hooks", "--json") if hook["name"] == "encode")
    assert encode["signature"].startswith("(job: Job, source: Source,")
    assert "when to stop" in encode["documentation"]


def test_doctor_finds_the_host_fit(bare: Bare) -> None:
    done = bare.run("amphipod", "doctor")
    assert done.returncode == 0, done.stdout
    assert f"ok   installation: {bare.path}" in done.stdout


def test_a_lecture_is_encoded_and_has_its_page_without_a_web_server(bare: Bare, clip: Path) -> None:
    done = bare.run("amphipod", "run", clip, "--out", "result", "--page")
    assert done.returncode == 0, done.stderr
    assert "media-control-bar" in Path("result/watch.html").read_text()
    assert {"360p.mp4", "360p.m3u8", "livestream.m3u8", "info_video.json"} <= {
        path.name for path in Path("result").iterdir()
    }


@pytest.mark.parametrize("command", ["plugins", "run"])
def test_the_heavy_libraries_stay_out_of_the_command_line(bare: Bare, command: str) -> None:
    code = f"""
import sys, core.cli
core.cli.build([{command!r}])
print(*{{"av", "PIL", "torch", "whisper", "ralph", "dramatiq", "kombu"}}.intersection(sys.modules))
"""
    assert bare.run("python", "-c", code).stdout == "\n"


@pytest.mark.usefixtures("installed")
class TestInstitutionHooks:
    example = "institution_hooks"

    def test_its_renditions_are_made(self, bare: Bare, clip: Path) -> None:
        step = run(bare, clip)
        assert renditions(step) == {"240p.mp4"}
        assert step["engine"]["plugin"] == "encode"

    def test_a_job_s_own_renditions_win(self, bare: Bare, clip: Path) -> None:
        step = run(bare, clip, "--option", 'renditions=[{"height": 360, "max_rate": "500k"}]')
        assert renditions(step) == {"360p.mp4"}

    def test_a_word_is_logged_when_a_lecture_is_published(self, bare: Bare, clip: Path) -> None:
        done = bare.run("amphipod", "run", clip, "--verbose", AMPHIPOD_LOG_FORMAT="json")
        words = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
        (published,) = (line for line in words if line["event"] == "lecture published")
        assert (published["lecture"], published["files"]) == ("lecture.mp4", ["240p.mp4"])

    def test_doctor_says_where_the_option_comes_from(self, bare: Bare) -> None:
        assert "renditions set by our-university" in bare.run("amphipod", "doctor").stdout


@pytest.mark.usefixtures("installed")
class TestSecondEncoder:
    example = "second_encoder"

    def test_it_does_not_take_over_because_it_is_installed(self, bare: Bare, clip: Path) -> None:
        done = bare.run("amphipod", "run", clip)
        assert done.returncode == 2
        assert "encode: encode and preview can all do it" in done.stderr
        assert bare.run("amphipod", "doctor").returncode == 1

    def test_the_job_names_it(self, bare: Bare, clip: Path) -> None:
        step = run(bare, clip, "--engine", "encode=preview", "--option", "height=120")
        assert (step["engine"]["plugin"], step["engine"]["distribution"]) == ("preview", "amphipod-preview")
        assert renditions(step) == {"preview_120p.mp4"}

    def test_the_settings_name_it(self, bare: Bare, clip: Path) -> None:
        step = run(bare, clip, AMPHIPOD_ENGINES='{"encode": ["preview"]}')
        assert renditions(step) == {"preview_180p.mp4"}

    def test_the_built_in_encoder_stays_within_reach(self, bare: Bare, clip: Path) -> None:
        step = run(bare, clip, "--engine", "encode=encode", AMPHIPOD_ENGINES='{"encode": ["preview"]}')
        assert renditions(step) == {"360p.mp4"}


@pytest.mark.usefixtures("installed")
class TestWrapper:
    example = "wrapper"

    def test_it_changes_the_films_of_the_built_in_encoder(self, bare: Bare, clip: Path) -> None:
        step = run(bare, clip)
        assert step["notes"][-1] == "the films are called lecture"
        (film,) = (artifact for artifact in step["artifacts"] if artifact["kind"] == "rendition")
        with av.open("result/360p.mp4") as titled:
            assert titled.metadata["title"] == "lecture"
            assert sum(1 for _ in titled.decode(video=0)) == film["frames"]
            assert Path("result/360p.mp4").stat().st_size == film["size"]

    def test_it_is_no_second_engine(self, bare: Bare) -> None:
        assert "ok   step encode: done by encode" in bare.run("amphipod", "doctor").stdout


@pytest.mark.long  # it installs what reads slides, and reads four
@pytest.mark.usefixtures("installed")
class TestSlides:
    example = "slides"
    needs = ("numpy", "rapidocr", "onnxruntime")

    def test_slides_are_found_and_read(self, bare: Bare, tmp_path: Path) -> None:
        """The demo's lecture shows a slide every three seconds; its first ten seconds have four."""
        cut = tmp_path / "lecture.mp4"
        source = str(ROOT / "examples/demo/lecture.mp4")
        subprocess.run(["ffmpeg", "-v", "error", "-i", source, "-t", "10", "-c", "copy", "-an", cut], check=True)
        arguments = ["--steps", "encode,slides", "--out", "result", "--json", "--option", "slide_seconds=1"]
        made = bare.json("amphipod", "run", cut, *arguments, "--option", "preset=ultrafast")["steps"]["slides"]

        assert made["engine"]["plugin"] == "slides"
        pictures = [one["path"] for one in made["artifacts"] if one["path"].endswith(".jpg")]
        assert pictures == [f"slide_00{number}.jpg" for number in (1, 2, 3, 4)]
        index = Path("result/slides.vtt").read_text()
        assert "slide_002.jpg\n00:00:01." in index
        assert "My name is Alice and I\nteach physics." in index
        chapters = Path("result/slides_chapters.vtt").read_text()
        assert "\nThe exam will take place\n" in chapters
        assert chapters.count("Thermodynamics, lecture 1") == 0


@pytest.mark.usefixtures("installed")
class TestQualityGate:
    example = "quality_gate"
    needs = ("numpy",)

    def test_a_film_above_the_bar_passes_with_its_figure(self, bare: Bare, clip: Path) -> None:
        made = bare.json("amphipod", "run", clip, "--steps", "quality_gate,encode", "--json")["steps"]
        assert 0.9 < made["quality_gate"]["facts"]["ssim"] <= 1
        assert made["quality_gate"]["engine"]["distribution"] == "amphipod-quality-gate"

    def test_a_film_below_it_fails_the_job_in_a_line(self, bare: Bare, clip: Path) -> None:
        options = [
            "--option",
            "least_ssim=0.97",
            "--option",
            "crf=51",
            "--option",
            'renditions=[{"height": 180, "max_rate": "500k"}]',
        ]
        done = bare.run("amphipod", "run", clip, "--steps", "encode,quality_gate", *options)
        assert done.returncode == 1
        assert "180p.mp4 looks worse than it may at second" in done.stderr
        assert "encode it with a lower crf" in done.stderr

    def test_without_an_encode_it_says_that_nothing_was_compared(self, bare: Bare, clip: Path) -> None:
        made = bare.json("amphipod", "run", clip, "--steps", "quality_gate", "--json")["steps"]
        assert made["quality_gate"]["notes"] == ["no film was made, so none was compared"]

    def test_its_queue_is_known_where_it_is_installed(self, bare: Bare) -> None:
        done = bare.run("amphipod", "worker", "qualty", AMPHIPOD_BROKER_URL="redis://127.0.0.1:1/0")
        assert "there are encoding, transcripting, quality, xapi, callbacks" in done.stderr
