"""What a job holds on the disk goes when nobody needs it, never before; its record stays longer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from core.errors import JobConflict
from core.model import Artifact, Callback, Download, Job, Source, State, StepResult, now
from core.pipeline import lifecycle
from core.retention import holdings, sweep
from core.retention.holdings import Removable
from core.settings import Settings
from core.storage import commit, deliveries, files, scratch_folder
from core.storage.job_folder import JobFolder

Make = Callable[..., JobFolder]

WEBHOOK = Callback(kind="webhook", url="https://portal.univ.fr/amphipod")


@pytest.fixture
def make(settings: Settings) -> Make:
    """Make a job that ended `days` ago, with a file that its step has made."""

    def make(state: State | None = State.SUCCEEDED, days: float = 0, name: str = "j1", **about: Any) -> JobFolder:
        source = about.pop("source", Path("a.mp4"))
        job = Job(id=name, sources=(Source(path=source),), steps=("encode",), **about)
        folder, _ = lifecycle.submit(job, settings.jobs_root)
        scratch = scratch_folder.begin_attempt(folder, "encode", after=0)
        (scratch.output / "360p.mp4").write_bytes(bytes(100_000))
        result = StepResult(
            job=name,
            step="encode",
            run=1,
            attempt=1,
            state=State.SUCCEEDED,
            folder="out/encode.1",
            artifacts=(Artifact(kind="rendition", path="360p.mp4", media_type="video/mp4"),),
            host="h",
            started_at=now(),
            finished_at=now(),
        )
        commit.commit(folder, result, scratch)
        if state:
            ended = now() - timedelta(days=days)
            over = {"step": "finish", "state": state, "folder": None, "artifacts": (), "finished_at": ended}
            commit.commit(folder, result.model_copy(update=over))
        return folder

    return make


def look(settings: Settings, folder: JobFolder) -> Removable | None:
    return holdings.look(settings, folder)


def swept(settings: Settings, **how: Any) -> list[tuple[str, str]]:
    found = sweep.sweep(settings, sweep.jobs(settings.jobs_root), **how)
    return [(one.job, one.what) for one in found]


class TestWhatIsNeeded:
    @pytest.mark.parametrize(
        ("state", "days", "about"),
        [
            (None, 1000, {}),
            (State.SUCCEEDED, 1000, {}),
            (State.SUCCEEDED, 6, {"downloads": (Download(path=Path("x"), url="https://pod.univ.fr/x"),)}),
            (State.SUCCEEDED, 1000, {"output": Path("/srv/0042"), "callbacks": (WEBHOOK,)}),
            (State.FAILED, 13, {}),
            (State.FAILED, 1000, {"callbacks": (WEBHOOK,)}),
            (State.CANCELLED, 0.5, {}),
        ],
        ids=[
            "unfinished",
            "results",
            "to be fetched",
            "to be told",
            "to be retried",
            "failure to be told",
            "cancelled",
        ],
    )
    def test_stays(self, make: Make, settings: Settings, state: State | None, days: float, about: Any) -> None:
        folder = make(state, days, **about)

        assert swept(settings) == []
        assert (folder.out / "encode.1" / "360p.mp4").exists()


class TestWhatGoes:
    @pytest.mark.parametrize(
        ("state", "days", "about", "why"),
        [
            (State.SUCCEEDED, 0, {"output": Path("/srv/0042")}, "published"),
            (State.SUCCEEDED, 0, {"placed": (Path("/srv/film.mp4"),)}, "published"),
            (State.SUCCEEDED, 8, {"downloads": (Download(path=Path("x"), url="https://pod.univ.fr/x"),)}, "its portal"),
            (State.FAILED, 15, {}, "failed"),
            (State.CANCELLED, 2, {}, "cancelled"),
            (State.SUPERSEDED, 2, {"output": Path("/srv/0042")}, "superseded"),
        ],
    )
    def test_files_go_and_the_record_stays(
        self, make: Make, settings: Settings, state: State, days: float, about: Any, why: str
    ) -> None:
        folder = make(state, days, **about)

        assert swept(settings) == [("j1", "files")]
        assert not folder.out.exists()
        assert folder.job().id == "j1"
        gone = holdings.swept(folder)
        assert gone
        assert gone.why.startswith(why)
        assert swept(settings) == []

    def test_a_told_portal_ends_it_and_one_given_up_counts_as_a_failure(self, make: Make, settings: Settings) -> None:
        told = make(output=Path("/srv/1"), callbacks=(WEBHOOK,), name="told")
        lost = make(output=Path("/srv/2"), callbacks=(WEBHOOK,), name="lost", days=13)
        for folder, state in ((told, "delivered"), (lost, "given_up")):
            assert deliveries.due(folder) == ["1.1"]
            deliveries.save(folder, deliveries.read(folder, "1.1").model_copy(update={"state": state}))

        assert swept(settings) == [("told", "files")]

    def test_results_go_when_the_settings_say_so(self, make: Make, settings: Settings) -> None:
        make(days=31)

        assert swept(settings.model_copy(update={"retain_results_days": 30})) == [("j1", "files")]

    def test_the_record_follows_and_then_the_job_is_unknown(self, make: Make, settings: Settings) -> None:
        folder = make(State.FAILED, 15)
        swept(settings)
        gone = holdings.swept(folder)
        assert gone
        files.write_replacing(folder.swept, gone.model_copy(update={"at": now() - timedelta(days=91)}).to_json())

        assert swept(settings) == [("j1", "record")]
        assert not folder.path.exists()

    def test_leftovers_of_dead_attempts_go_from_an_unfinished_job_too(self, make: Make, settings: Settings) -> None:
        folder = make(None)
        scratch = scratch_folder.begin_attempt(folder, "encode", after=1)
        (scratch.output / "half.mp4").write_bytes(bytes(5000))
        orphan = folder.out / "encode.9"
        orphan.mkdir()
        (folder.downloads).mkdir()
        (folder.downloads / ".film.mp4.abcd").touch()
        assert swept(settings) == []
        old = time.time() - 25 * 3600
        files.write_replacing(scratch.owner, json.dumps({"host": "another", "pid": 1, "process": "x"}))
        for path in (scratch.owner, orphan, folder.downloads / ".film.mp4.abcd"):
            os.utime(path, (old, old))

        assert swept(settings) == [("j1", "leftovers")]
        assert not scratch.output.exists()
        assert not orphan.exists()
        assert list(folder.downloads.iterdir()) == []
        assert scratch_folder.attempts(folder) == [scratch], "it still counts"
        assert (folder.out / "encode.1" / "360p.mp4").exists()

    def test_files_that_another_unfinished_job_reads_stay(self, make: Make, settings: Settings) -> None:
        made = make(State.FAILED, 15).out / "encode.1" / "360p.mp4"
        reader = make(None, name="j2", source=made)

        assert swept(settings) == []
        files.remove(reader.path)
        assert swept(settings) == [("j1", "files")]

    def test_a_link_to_a_published_file_frees_nothing(self, make: Make, settings: Settings, tmp_path: Path) -> None:
        folder = make(State.FAILED, 15)
        copied = look(settings, folder)
        os.link(folder.out / "encode.1" / "360p.mp4", tmp_path / "published.mp4")
        linked = look(settings, folder)

        assert copied
        assert linked
        assert copied.frees - linked.frees >= 100_000

    def test_dry_run_removes_nothing(self, make: Make, settings: Settings) -> None:
        folder = make(State.FAILED, 15)

        assert swept(settings, dry_run=True) == swept(settings, dry_run=True) == [("j1", "files")]
        assert (folder.out / "encode.1" / "360p.mp4").exists()


class TestRounds:
    def test_one_goes_on_where_the_last_has_ended_and_none_comes_too_soon(
        self, make: Make, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for number in range(3):
            make(State.FAILED, 15, name=f"j{number}")
        monkeypatch.setattr(sweep, "_MOST_JOBS", 2)

        assert sweep.next_round(settings) > 0
        assert swept(settings, dry_run=True) == [("j2", "files")]
        assert sweep.next_round(settings) == 0
        assert sweep.next_round(settings.model_copy(update={"sweep_seconds": 0})) > 0
        assert swept(settings, dry_run=True) == []


class TestWords:
    def test_retry_of_a_swept_job_is_refused_in_words(self, make: Make, settings: Settings) -> None:
        folder = make(State.FAILED, 15)
        swept(settings)

        with pytest.raises(JobConflict, match=r"j1: its files were removed on .* \(failed\): submit it again"):
            lifecycle.retry(folder)

    def test_the_command_says_what_it_frees_and_removes_results_when_asked(
        self, make: Make, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AMPHIPOD_JOBS_ROOT", str(settings.jobs_root))
        make(name="results")
        make(State.FAILED, 15, name="broken")
        make(None, name="busy")

        def amphipod(*words: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run([sys.executable, "-m", "core.cli", *words], capture_output=True, text=True)

        assert amphipod("sweep", "--dry-run").stdout.splitlines() == [
            "broken  files  0.1 MB  failed",
            "would free 0.1 MB of 1 jobs; a link to a published file frees nothing",
        ]
        assert amphipod("sweep", "results").stdout.startswith("results  files  0.1 MB  asked for")
        busy = amphipod("sweep", "busy")
        assert busy.returncode == 2
        assert "nothing of busy can go: it is not over" in busy.stderr
        assert "its files were removed on" in amphipod("status", "results").stdout
