"""Each folder of examples/, installed from its wheel beside Amphipod's, in a job."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest

from tests.packaging.conftest import ROOT, Bare, build_wheel


@pytest.fixture(autouse=True, scope="class")
def _installed(request: pytest.FixtureRequest, bare: Bare, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Install the example that a class of tests is about."""
    folder = tmp_path_factory.mktemp("example")
    wheel = build_wheel(shutil.copytree(ROOT / "examples" / request.cls.example, folder / "source"), folder)
    done = bare.run("pip", "install", "--no-index", "--no-deps", wheel)
    assert done.returncode == 0, done.stderr
    yield
    bare.run("pip", "uninstall", "--yes", wheel.name.partition("-")[0])


def run(bare: Bare, clip: Path, *arguments: str, **variables: str) -> Any:
    """Run a job, and return its manifest's step `encode`."""
    return bare.json("amphipod", "run", clip, "--out", "result", "--json", *arguments, **variables)["steps"]["encode"]


def renditions(step: Any) -> set[str]:
    return {artifact["path"] for artifact in step["artifacts"] if artifact["kind"] == "rendition"}


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
