"""Without a broker the jobs' folder is the list: newest first, read only as far as a page needs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from core.errors import BadCall, UnknownJob
from core.job_index import JobQuery, JobRow, RowState, open_index, parse_states
from core.jobs import detail
from core.model import Artifact, Callback, Engine, Job, Plan, Source, State, StepResult, now
from core.pipeline import lifecycle
from core.queue import job_row
from core.retention import holdings
from core.settings import Settings
from core.storage import commit, files, job_state, scratch_folder
from core.storage.job_folder import JobFolder

Make = Callable[..., JobFolder]


@pytest.fixture
def make(settings: Settings) -> Make:
    """Make a job, by default one that waits."""

    def make(name: str, state: State | None = None, *, source: str = "a.mp4", **about: Any) -> JobFolder:
        job = Job(id=name, sources=(Source(path=Path("/srv") / source),), steps=("encode",), **about)
        folder, _ = lifecycle.submit(job, settings.jobs_root)
        if state:
            reason = "encode: a.mp4: cut off: upload it again" if state is State.FAILED else None
            over(folder, "finish", state, reason=reason, remedy="upload it again" if reason else None)
        return folder

    return make


def over(folder: JobFolder, step: str, state: State, /, **about: Any) -> None:
    moment = now()
    common = {"job": folder.id, "step": step, "run": folder.run(), "attempt": 1, "state": state, "host": "enc-1"}
    about = {"started_at": moment - timedelta(seconds=10), "finished_at": moment} | about
    commit.commit(folder, StepResult(**common, **about))


def ids(settings: Settings, **query: Any) -> list[str]:
    return [row.id for row in open_index(settings).page(JobQuery(**query)).rows]


class TestPage:
    def test_the_newest_is_first(self, make: Make, settings: Settings) -> None:
        for name in ("20260901-080000-aa", "20260903-080000-aa", "20260902-080000-aa"):
            make(name)

        assert ids(settings) == ["20260903-080000-aa", "20260902-080000-aa", "20260901-080000-aa"]

    def test_jobs_that_arrive_between_two_pages_shift_nothing(self, make: Make, settings: Settings) -> None:
        for day in range(1, 6):
            make(f"2026090{day}-080000-aa")
        index = open_index(settings)

        first = index.page(JobQuery(limit=2))
        make("20260909-080000-aa")
        second = index.page(JobQuery(limit=2, cursor=first.next_cursor))
        last = index.page(JobQuery(limit=2, cursor=second.next_cursor))

        days = [[row.id[7] for row in page.rows] for page in (first, second, last)]
        assert days == [["5", "4"], ["3", "2"], ["1"]]
        assert last.next_cursor is None

    def test_a_page_reads_no_more_jobs_than_it_shows(
        self, make: Make, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for day in range(1, 10):
            make(f"2026090{day}-080000-aa")
        read: list[str] = []
        row_of = job_row.row_of

        def counted(folder: JobFolder) -> JobRow:
            read.append(folder.id)
            return row_of(folder)

        monkeypatch.setattr(job_row, "row_of", counted)

        ids(settings, limit=2)

        assert len(read) == 2

    def test_a_foreign_cursor_is_refused(self, settings: Settings) -> None:
        with pytest.raises(BadCall, match="none of this list"):
            ids(settings, cursor="../..")

    def test_an_empty_service_has_an_empty_page(self, settings: Settings) -> None:
        assert ids(settings) == []

    def test_what_is_no_job_is_passed_over(self, make: Make, settings: Settings) -> None:
        make("whole")
        (settings.jobs_root / "jobs" / "half").mkdir()

        assert ids(settings) == ["whole"]


class TestFilters:
    def test_by_state(self, make: Make, settings: Settings) -> None:
        make("waits")
        make("failed", State.FAILED)
        make("good", State.SUCCEEDED)
        make("old", State.SUPERSEDED)

        assert set(ids(settings, states=parse_states(["done"]))) == {"good", "old"}
        assert ids(settings, states=parse_states(["failed"])) == ["failed"]
        assert ids(settings, states=parse_states(["open"])) == ["waits"]

    def test_an_unknown_state_is_refused_in_words(self) -> None:
        with pytest.raises(BadCall, match="'lost' is no state of a job: there are waiting"):
            parse_states(["lost"])

    @pytest.mark.parametrize("words", ["ecole", "ÉCOLE hist", "histoire.mkv", "video-7", "4711", "/srv/histoire"])
    def test_by_words_without_case_or_accents(self, words: str, make: Make, settings: Settings) -> None:
        about = {"title": "L'École et l'histoire", "id": 4711}
        make("j1", source="histoire.mkv", attributes=about, correlation_id="video-7")
        make("j2")

        assert ids(settings, text=words) == ["j1"]

    def test_by_time_step_and_queue(self, make: Make, settings: Settings) -> None:
        make("20200101-080000-aa")
        make("20990101-080000-aa")

        assert ids(settings, since=now()) == ["20990101-080000-aa"]
        assert ids(settings, step="transcribe") == []
        assert len(ids(settings, queue="encoding", step="encode")) == 2

    def test_by_end_lists_what_is_over(self, make: Make, settings: Settings) -> None:
        make("waits")
        make("failed", State.FAILED)

        assert ids(settings, order="ended") == ["failed"]


class TestRow:
    def test_what_a_living_process_works_on_runs(self, make: Make, settings: Settings) -> None:
        folder = make("j1")
        scratch_folder.begin_attempt(folder, "encode", after=0)

        (row,) = open_index(settings).rows(["j1"])

        assert (row.state, row.step, row.hosts) == (RowState.RUNNING, "encode", (files.host_name(),))

    def test_a_row_follows_its_job(self, make: Make, settings: Settings) -> None:
        folder = make("j1", State.FAILED)
        index = open_index(settings)
        assert index.rows(["j1"])[0].state is RowState.FAILED

        lifecycle.retry(folder)

        (row,) = index.rows(["j1"])
        assert (row.state, row.run) == (RowState.WAITING, 2)
        assert index.counts().waiting == 1

    def test_a_long_title_is_cut(self, make: Make, settings: Settings) -> None:
        make("j1", attributes={"title": "x" * 5000})

        assert len(open_index(settings).rows(["j1"])[0].title) == 200


class TestDetail:
    def test_a_job_that_is_over_tells_who_did_what_with_which_options(self, make: Make, settings: Settings) -> None:
        folder = make("j1", options={"crf": 20}, attributes={"title": "Thermodynamics 4"})
        engine = Engine(plugin="encode", distribution="amphipod", version="0.1")
        plan = Plan(engines=(engine,), options={"crf": 20, "preset": "slow"}, origins={"crf": "job"})
        files.write_once(folder.plan("encode"), plan.to_json())
        scratch = scratch_folder.begin_attempt(folder, "encode", after=0)
        (scratch.output / "360p.mp4").write_bytes(b"film")
        film = Artifact(kind="rendition", path="360p.mp4", media_type="video/mp4", size=4)
        done = StepResult(
            job="j1",
            step="encode",
            run=1,
            attempt=2,
            state=State.SUCCEEDED,
            host="enc-1",
            folder="out/encode.1",
            artifacts=(film,),
            facts={"duration": 30.0},
            notes=("the source has no sound",),
            engine=engine,
            started_at=now() - timedelta(seconds=10),
            finished_at=now(),
        )
        commit.commit(folder, done, scratch)
        over(folder, "finish", State.SUCCEEDED)

        found = detail.detail("j1", settings=settings)

        (step,) = found.steps
        assert (found.row.title, found.row.duration, found.files[0].name) == ("Thermodynamics 4", 30.0, "360p.mp4")
        assert (step.host, step.tries, step.engine, step.notes) == ("enc-1", 2, engine, ("the source has no sound",))
        assert step.speed == pytest.approx(3.0, rel=0.1)
        assert [(one.name, one.value, one.origin) for one in step.options] == [
            ("crf", 20, "job"),
            ("preset", "slow", None),
        ]

    def test_only_what_a_job_has_made_has_a_path(self, make: Make, settings: Settings) -> None:
        folder = make("j1")
        film = Artifact(kind="rendition", path="360p.mp4", media_type="video/mp4")
        over(folder, "encode", State.SUCCEEDED, artifacts=(film,), folder="out/encode.1")
        whole = job_state.fold(folder)

        assert detail.file_path(folder, whole, "360p.mp4") == folder.out / "encode.1" / "360p.mp4"
        assert detail.file_path(folder, whole, "../../request.json") is None

    def test_a_failure_is_told_apart_from_its_remedy(self, make: Make, settings: Settings) -> None:
        make("j1", State.FAILED)

        found = detail.detail("j1", settings=settings)

        assert (found.reason, found.remedy) == ("encode: a.mp4: cut off", "upload it again")

    def test_a_crashed_attempt_is_listed(self, make: Make, settings: Settings) -> None:
        folder = make("j1")
        scratch_folder.empty(scratch_folder.begin_attempt(folder, "encode", after=0), "SIGSEGV")

        (attempt,) = detail.detail("j1", settings=settings).steps[0].attempts

        assert (attempt.number, attempt.state, attempt.reason) == (1, State.FAILED, "SIGSEGV")

    def test_a_portal_that_is_to_be_told_is_named_from_the_start(self, make: Make, settings: Settings) -> None:
        make("j1", callbacks=(Callback(kind="webhook", url="https://portal.univ.fr/amphipod"),))

        (callback,) = detail.detail("j1", settings=settings).callbacks

        assert (callback.id, callback.state) == ("1.1", "waiting")

    def test_files_that_were_removed_are_not_offered(self, make: Make, settings: Settings) -> None:
        folder = make("j1", State.FAILED)
        found = holdings.look(settings, folder, asked=True)
        assert found
        holdings.remove(folder, found)

        told = detail.detail("j1", settings=settings)

        assert told.row.swept
        assert told.swept
        assert "its files were removed" in told.swept

    def test_an_unknown_job_is_said_to_be(self, settings: Settings) -> None:
        with pytest.raises(UnknownJob):
            detail.detail("nobody", settings=settings)
