from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import BadCall, JobConflict, NotWritable, Transient
from core.model import Job, Source, State
from core.pipeline import attempt, in_process, lifecycle, planning
from core.pipeline.planning import Host
from core.plugin_host.manager import Manager
from core.storage import job_state
from core.storage.job_folder import JobFolder

from ...conftest import TOY_ENGINE, InstallPlugin

Submit = Callable[..., JobFolder]


@pytest.fixture
def submit(tmp_path: Path) -> Submit:
    """Store a job whose engine does the things that are named."""

    def store(name: str = "j1", output: Path | None = None, **do: Any) -> JobFolder:
        options = {"do": do} if do else {}
        job = Job(id=name, sources=(Source(path=Path("a.mp4")),), steps=("encode",), options=options, output=output)
        return lifecycle.submit(job, tmp_path / "root")[0]

    return store


class TestSubmit:
    def test_the_same_request_is_the_same_job(self, tmp_path: Path, submit: Submit) -> None:
        folder = submit()

        assert lifecycle.submit(folder.job(), tmp_path / "root") == (folder, False)

    def test_a_different_request_under_the_same_id_is_refused(self, submit: Submit) -> None:
        submit(write="one")

        with pytest.raises(JobConflict, match="j1 exists with a different request"):
            submit(write="two")

    def test_ids_sort_by_time(self) -> None:
        one = lifecycle.new_id()
        time.sleep(1)

        assert one < lifecycle.new_id()


class TestPlan:
    def test_it_is_fixed_by_the_first_host(self, toy_host: Host, submit: Submit) -> None:
        folder = submit(write="one")

        plan = planning.fix_plan(toy_host, folder, "encode")

        assert [engine.plugin for engine in plan.engines] == ["toy"]
        assert planning.fix_plan(toy_host, folder, "encode") == plan

    def test_a_host_with_another_version_leaves_the_step_to_others(
        self, toy_host: Host, submit: Submit, install_plugin: InstallPlugin, tmp_path: Path
    ) -> None:
        folder = submit()
        planning.fix_plan(toy_host, folder, "encode")
        old = next((tmp_path / "site").glob("amphipod_toy*"))
        old.rename(old.with_name("amphipod_toy-2.0.dist-info"))
        (tmp_path / "site" / "amphipod_toy-2.0.dist-info" / "METADATA").write_text("Name: amphipod-toy\nVersion: 2.0\n")

        newer = Host(toy_host.settings, Manager(toy_host.settings))

        with pytest.raises(Transient, match=r"planned with amphipod-toy 1\.0, this host has amphipod-toy 2\.0"):
            planning.fix_plan(newer, folder, "encode")


class TestRun:
    def test_a_job_ends_with_its_files_and_its_manifest(self, toy_host: Host, submit: Submit) -> None:
        folder = submit(write="hello")

        whole = in_process.run_embedded(toy_host, folder)

        assert whole.state is State.SUCCEEDED
        assert (folder.out / "encode.1" / "360p.mp4").read_text() == "hello"
        assert json.loads(folder.manifest.read_text())["state"] == "succeeded"
        assert list(folder.scratch.iterdir()) == []

    def test_a_job_with_an_output_is_published_there(self, toy_host: Host, submit: Submit, tmp_path: Path) -> None:
        folder = submit(output=tmp_path / "0042", write="hello")

        whole = in_process.run_embedded(toy_host, folder)

        assert whole.published_in == tmp_path / "0042"
        assert [path.name for path in (tmp_path / "0042").iterdir()] == ["360p.mp4"]

    def test_a_result_records_who_did_it_and_with_what(self, toy_host: Host, submit: Submit) -> None:
        folder = submit(write="hello")
        in_process.run_embedded(toy_host, folder)

        result = job_state.result(folder, "encode", 1)

        assert result
        assert result.engine
        assert (result.engine.plugin, result.engine.version) == ("toy", "1.0")
        assert result.options == {"do": {"write": "hello"}}
        assert result.origins == {"do": "job"}
        assert result.options_digest == planning.fix_plan(toy_host, folder, "encode").digest

    def test_a_source_that_the_engine_refuses_fails_the_job_with_its_words(
        self, toy_host: Host, submit: Submit, tmp_path: Path
    ) -> None:
        folder = submit(output=tmp_path / "0042", refuse="no picture and no sound")

        whole = in_process.run_embedded(toy_host, folder)

        assert whole.state is State.FAILED
        assert whole.reason == "encode: a.mp4: no picture and no sound"
        assert list((tmp_path / "0042").iterdir()) == []

    def test_a_crash_is_an_attempt_and_the_next_may_succeed(self, toy_host: Host, submit: Submit) -> None:
        folder = submit(kill_once="SIGSEGV", write="hello")

        whole = in_process.run_embedded(toy_host, folder)

        assert whole.state is State.SUCCEEDED
        assert whole.steps["encode"].facts["attempt"] == 2

    def test_a_step_that_keeps_crashing_fails_with_the_last_reason(self, toy_host: Host, submit: Submit) -> None:
        folder = submit(kill="SIGSEGV")

        whole = in_process.run_embedded(toy_host, folder)

        assert whole.state is State.FAILED
        assert whole.reason == "encode: gave up after 3 attempts: the process of encode was killed by SIGSEGV"
        assert list(folder.scratch.iterdir()) == []

    def test_attempts_whose_process_was_killed_count_too(self, toy_host: Host, submit: Submit, tmp_path: Path) -> None:
        folder = submit(sleep=60)
        code = (
            "import sys; from pathlib import Path; from core.settings import Settings\n"
            "from core.storage.job_folder import JobFolder\n"
            "from core.pipeline import attempt, planning; from core.plugin_host.manager import Manager\n"
            "settings = Settings.model_validate_json(sys.argv[1])\n"
            "host = planning.Host(settings, Manager(settings))\n"
            "attempt.run_step(host, JobFolder(Path(sys.argv[2]), 'j1'), 'encode')"
        )
        for _ in range(toy_host.settings.step_attempts):
            (tmp_path / "tmp" / "child-j1").unlink(missing_ok=True)
            worker = subprocess.Popen(
                [sys.executable, "-c", code, toy_host.settings.model_dump_json(), str(folder.root)]
            )
            while not (tmp_path / "tmp" / "child-j1").exists():
                time.sleep(0.02)
            worker.kill()
            worker.wait()

        whole = in_process.run_embedded(toy_host, folder)

        assert whole.reason == (
            "encode: gave up after 3 attempts: its process died without a word (killed, or the machine went down)"
        )

    def test_a_folder_that_refuses_us_fails_the_job_before_any_work(
        self, toy_host: Host, submit: Submit, tmp_path: Path
    ) -> None:
        (tmp_path / "file").touch()
        folder = submit(output=tmp_path / "file" / "0042", sleep=60)

        whole = in_process.run_embedded(toy_host, folder)

        assert whole.state is State.FAILED
        assert "file/0042: is not a folder" in (whole.reason or "")

    def test_a_full_disk_fails_the_job_and_shows_nothing(
        self, toy_host: Host, submit: Submit, small_disk: Path, tmp_path: Path
    ) -> None:
        folder = submit(output=small_disk / "0042", fill_disk=6_000_000)

        whole = in_process.run_embedded(toy_host, folder)

        assert whole.state is State.FAILED
        assert "0042: no space left: free some space or choose another folder" in (whole.reason or "")
        assert list((small_disk / "0042").iterdir()) == []

    def test_a_full_disk_under_the_jobs_fails_the_step(self, toy_host: Host, small_disk: Path) -> None:
        job = Job(
            id="j1",
            sources=(Source(path=Path("a.mp4")),),
            steps=("encode",),
            options={"do": {"fill_disk": 6_000_000}},
        )
        folder, _ = lifecycle.submit(job, small_disk)

        whole = in_process.run_embedded(toy_host, folder)

        assert whole.state is State.FAILED
        assert "no space left" in (whole.reason or "")
        assert list(folder.scratch.iterdir()) == []


class TestCancel:
    def test_a_running_step_ends_and_nothing_is_published(self, toy_host: Host, submit: Submit, tmp_path: Path) -> None:
        folder = submit(output=tmp_path / "0042", sleep=60)
        runner = threading.Thread(target=in_process.run_embedded, args=(toy_host, folder))
        runner.start()
        while not (tmp_path / "tmp" / "child-j1").exists():
            time.sleep(0.02)

        lifecycle.cancel(folder)
        runner.join(5)

        assert not runner.is_alive()
        assert job_state.fold(folder).state is State.CANCELLED
        assert list(folder.scratch.iterdir()) == []
        assert list((tmp_path / "0042").iterdir()) == []

    def test_a_job_that_is_over_cannot_be_cancelled(self, toy_host: Host, submit: Submit) -> None:
        folder = submit()
        in_process.run_embedded(toy_host, folder)

        with pytest.raises(JobConflict, match="already succeeded"):
            lifecycle.cancel(folder)


class TestRetry:
    def test_a_failed_step_is_run_again(self, toy_host: Host, submit: Submit, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        folder = submit(output=tmp_path / "file" / "0042")
        assert in_process.run_embedded(toy_host, folder).state is State.FAILED
        (tmp_path / "file").unlink()

        lifecycle.retry(folder)
        whole = in_process.run_embedded(toy_host, folder)

        assert (whole.state, whole.run) == (State.SUCCEEDED, 2)

    def test_a_success_is_never_redone(self, toy_host: Host, submit: Submit, tmp_path: Path) -> None:
        output = tmp_path / "0042"
        folder = submit(output=output)
        attempt.run_step(toy_host, folder, "encode")
        output.rmdir()
        output.touch()
        with pytest.raises(NotWritable) as caught:
            lifecycle.finish(toy_host, folder)
        lifecycle.give_up(toy_host, folder, "finish", caught.value)
        output.unlink()

        lifecycle.retry(folder)
        whole = in_process.run_embedded(toy_host, folder)

        assert whole.state is State.SUCCEEDED
        assert whole.steps["encode"].facts["attempt"] == 1
        assert [path.name for path in output.iterdir()] == ["360p.mp4"]
        assert not folder.out.exists(), "the portal has them"

    def test_a_cancelled_job_may_be_tried_again(self, toy_host: Host, submit: Submit) -> None:
        folder = submit()
        lifecycle.cancel(folder)
        assert in_process.run_embedded(toy_host, folder).state is State.CANCELLED

        lifecycle.retry(folder)

        assert in_process.run_embedded(toy_host, folder).state is State.SUCCEEDED

    def test_a_job_that_succeeded_is_not(self, toy_host: Host, submit: Submit) -> None:
        folder = submit()
        in_process.run_embedded(toy_host, folder)

        with pytest.raises(JobConflict, match="only a failed or cancelled job"):
            lifecycle.retry(folder)


class TestObservers:
    OBSERVER = """
        from pathlib import Path
        from core import hookimpl

        def note(words):
            with Path("observed").open("a") as file:
                file.write(words + "\\n")

        @hookimpl
        def job_started(job): note(f"started {job.id}")

        @hookimpl
        def job_published(job, manifest): note(f"published {job.id} {len(manifest.artifacts)}")

        @hookimpl
        def job_failed(job, result): note(f"failed {job.id} {result.reason}"); raise RuntimeError("ignored")
    """

    @pytest.fixture
    def host(self, toy_host: Host, install_plugin: InstallPlugin) -> Host:
        install_plugin("observer", self.OBSERVER)
        settings = toy_host.settings.model_copy(update={"plugins_only": ("toy", "observer")})
        return Host(settings, Manager(settings))

    def test_they_learn_of_the_start_and_the_publication_once(self, host: Host, submit: Submit) -> None:
        in_process.run_embedded(host, submit(kill_once="SIGKILL", write="x"))

        assert Path("observed").read_text().splitlines() == ["started j1", "published j1 1"]

    def test_they_learn_why_a_job_failed_and_cannot_fail_it_themselves(self, host: Host, submit: Submit) -> None:
        in_process.run_embedded(host, submit(refuse="blank"))

        assert Path("observed").read_text().splitlines() == ["started j1", "failed j1 encode: a.mp4: blank"]


class TestHandingOver:
    SPEAKER = """
        from core import Artifact, Segment, Transcript, hookimpl

        @hookimpl
        def transcribe(job, audio, options, context):
            said = Segment(text=audio.name, start=0, end=1)
            return Transcript(language="fr", segments=(said,), notes=("spoke once",))

        @hookimpl
        def write_captions(job, transcript, options, context):
            (context.output / "said.txt").write_text(transcript.segments[0].text)
            return [Artifact(kind="transcript", path="said.txt", media_type="text/plain", language="fr")]
    """
    SENDER = """
        from pathlib import Path
        from core import Destination, Receipt, hookimpl

        @hookimpl
        def build_statements(job, manifest):
            return [{"id": str(number), "files": len(manifest.artifacts)} for number in range(3)]

        @hookimpl
        def prepare_statement(statement, destination, job):
            from core import DROP
            return DROP if statement["id"] == "1" else {**statement, "job": job.id}

        @hookimpl
        def statement_destinations():
            return [Destination(name="lrs", url="http://lrs.example")]

        @hookimpl
        def emit_statement(statements, destination):
            Path("sent").write_text(repr([{**one, "timestamp": 0} for one in statements]))
            return [Receipt(statement_id=one["id"], outcome="delivered") for one in statements]
    """

    @pytest.fixture
    def host(self, toy_host: Host, install_plugin: InstallPlugin) -> Host:
        install_plugin("speaker", self.SPEAKER)
        install_plugin("sender", self.SENDER)
        settings = toy_host.settings.model_copy(update={"plugins_only": ("toy", "speaker", "sender")})
        return Host(settings, Manager(settings))

    def run(self, host: Host, tmp_path: Path, steps: tuple[str, ...], **do: Any) -> tuple[Any, JobFolder]:
        job = Job(id="j1", sources=(Source(path=Path("a.mp4")),), steps=steps, options={"do": do})
        folder, _ = lifecycle.submit(job, tmp_path / "root")
        return in_process.run_embedded(host, folder), folder

    def test_transcribe_listens_to_the_audio_that_encode_made(
        self, toy_host: Host, host: Host, tmp_path: Path, install_plugin: InstallPlugin
    ) -> None:
        site = tmp_path / "site" / "toy.py"
        site.write_text(site.read_text().replace('".png": "thumbnail"', '".mp3": "audio"'))

        whole, folder = self.run(host, tmp_path, ("encode", "transcribe"), write_files={"audio_192k.mp3": "la la"})

        (said,) = whole.find("transcript")
        assert (folder.path / whole.steps["transcribe"].folder / said.path).read_text() == "audio_192k.mp3"
        assert whole.steps["transcribe"].notes == ("spoke once",)

    def test_transcribe_alone_listens_to_the_source(self, host: Host, tmp_path: Path) -> None:
        whole, folder = self.run(host, tmp_path, ("transcribe",))

        (said,) = whole.find("transcript")
        assert (folder.path / whole.steps["transcribe"].folder / said.path).read_text() == "a.mp4"

    def test_emit_builds_prepares_and_delivers(self, host: Host, tmp_path: Path) -> None:
        whole, _ = self.run(host, tmp_path, ("encode", "emit"), write="x")

        assert whole.state is State.SUCCEEDED
        kept = [{"id": number, "files": 1, "timestamp": 0, "job": "j1"} for number in ("0", "2")]
        assert Path("sent").read_text() == repr(kept)
        assert "1 of 3 statements dropped by a plugin" in whole.steps["emit"].notes

    def test_a_step_after_a_failed_one_is_not_run(self, host: Host, tmp_path: Path) -> None:
        whole, _ = self.run(host, tmp_path, ("encode", "transcribe"), refuse="blank")

        assert whole.state is State.FAILED
        assert whole.steps["transcribe"].state is State.WAITING


def test_check_refuses_an_option_before_anything_is_stored(settings: Any, install_plugin: InstallPlugin) -> None:
    install_plugin("toy", TOY_ENGINE + SCHEMA)
    only_toy = settings.model_copy(update={"plugins_only": ("toy",)})
    host = Host(only_toy, Manager(only_toy))
    job = Job(id="j1", sources=(Source(path=Path("a.mp4")),), steps=("encode",), options={"doo": {}})

    with pytest.raises(BadCall, match="no step of this job has an option 'doo': did you mean 'do'"):
        planning.check(host, job)


SCHEMA = """
    from pydantic import BaseModel

    class Options(BaseModel):
        do: dict = {}

    @hookimpl
    def options_schema(step):
        return Options if step == "encode" else None
"""
