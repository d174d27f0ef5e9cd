"""A step that a plugin brings is a step like any other: planned, done in a child, committed, published, tried again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from core.errors import BadCall, JobConflict
from core.model import BUILT_IN, Job, Source, State, StepSpec
from core.model.step_spec import in_order
from core.pipeline import in_process, lifecycle, planning
from core.pipeline.planning import Host
from core.plugin_host.manager import Manager
from core.settings import Settings

from ...conftest import TOY_ENGINE, TOY_STEP, InstallPlugin


@pytest.fixture
def host(settings: Settings, install_plugin: InstallPlugin) -> Host:
    install_plugin("toy", TOY_ENGINE)
    install_plugin("indexer", TOY_STEP)
    only = settings.model_copy(update={"plugins_only": ("toy", "indexer")})
    return Host(only, Manager(only))


@pytest.fixture
def lecture(tmp_path: Path) -> Path:
    path = tmp_path / "a.mp4"
    path.write_text("a lecture")
    return path


def job_of(host: Host, source: Path, *steps: str, **about: object) -> Job:
    ordered = planning.known_steps(host.manager, steps)
    return Job.model_validate(
        {
            "id": lifecycle.new_id(),
            "sources": (Source(path=source),),
            "steps": ordered,
            "declared": planning.declared(host.manager, ordered),
            **about,
        }
    )


def test_it_gets_what_the_steps_before_have_made_and_its_files_are_published(
    host: Host, lecture: Path, tmp_path: Path
) -> None:
    job = job_of(host, lecture, "index", "encode", output=tmp_path / "out", options={"words": 3})
    folder, _ = lifecycle.submit(job, host.settings.jobs_root)

    manifest = in_process.run_embedded(host, folder)

    assert (job.steps, manifest.state) == (("encode", "index"), State.SUCCEEDED)
    assert (tmp_path / "out" / "words.txt").read_text() == "3 words of hello"
    assert manifest.steps["index"].engine
    assert manifest.steps["index"].facts["pid"] != manifest.steps["encode"].facts["worker"]


def test_it_fails_with_its_words_and_a_retry_does_it_alone(host: Host, lecture: Path) -> None:
    job = job_of(host, lecture, "encode", "index", options={"fail_once": True})
    folder, _ = lifecycle.submit(job, host.settings.jobs_root)

    failed = in_process.run_embedded(host, folder)
    lifecycle.retry(folder)
    again = in_process.run_embedded(host, folder)

    assert (failed.state, failed.reason) == (State.FAILED, "index: a.mp4: too dark to read")
    assert again.state is State.SUCCEEDED
    assert [path.name for path in (folder.path / "steps").glob("encode.*.json")] == ["encode.1.json"]


def test_of_two_that_failed_one_is_tried_again_and_the_other_stays_so(
    settings: Settings, install_plugin: InstallPlugin, lecture: Path
) -> None:
    install_plugin("toy", TOY_ENGINE)
    install_plugin("indexer", TOY_STEP.replace('needs=("encode",)', "needs=()"))
    host = Host(settings, Manager(settings.model_copy(update={"plugins_only": ("toy", "indexer")})))
    options = {"fail_once": True, "do": {"refuse": "no film"}}
    folder, _ = lifecycle.submit(job_of(host, lecture, "encode", "index", options=options), settings.jobs_root)

    def states() -> tuple[State, ...]:
        whole = in_process.run_embedded(host, folder)
        return (whole.state, *(step.state for step in whole.steps.values()))

    failed, done = State.FAILED, State.SUCCEEDED
    assert states() == (failed, failed, failed)
    lifecycle.retry(folder, "index")
    assert states() == (failed, failed, done)
    assert not folder.result("encode", 2).exists()
    lifecycle.retry(folder)
    assert states() == (failed, failed, done)
    assert folder.result("encode", 3).exists()


def test_one_that_has_not_failed_is_not_tried_again_alone(host: Host, lecture: Path) -> None:
    job = job_of(host, lecture, "encode", "index", options={"do": {"refuse": "no film"}})
    folder, _ = lifecycle.submit(job, host.settings.jobs_root)
    in_process.run_embedded(host, folder)

    with pytest.raises(JobConflict, match=r"index of job .* has not failed: try encode again"):
        lifecycle.retry(folder, "index")
    assert folder.run() == 1


def test_its_options_are_checked_when_the_job_is_planned(host: Host, lecture: Path) -> None:
    with pytest.raises(BadCall, match=r"no step of this job has an option 'wrods': .*'words'"):
        planning.check(host, job_of(host, lecture, "index", options={"wrods": 3}))


def test_a_step_that_nobody_knows_is_refused_with_the_nearest(host: Host) -> None:
    with pytest.raises(BadCall, match=r"no step indx is known here: did you mean 'index'\?"):
        planning.known_steps(host.manager, ["indx"])


def test_a_job_tells_hosts_without_the_plugin_what_its_step_is(host: Host, lecture: Path) -> None:
    job = job_of(host, lecture, "index")
    read = Job.model_validate_json(job.to_json())
    assert read.spec("index").queue == "indexing"
    assert "declared" not in json.loads(job_of(host, lecture, "encode").to_json())
    with pytest.raises(ValidationError, match="no step index is declared"):
        Job(id="x", sources=job.sources, steps=("index",))


def test_steps_stand_behind_what_they_need() -> None:
    specs = [StepSpec(name="a", queue="q", needs=("b", "gone")), *reversed(BUILT_IN), StepSpec(name="b", queue="q")]
    names = [spec.name for spec in in_order(specs)]
    assert names[-1] == "emit"
    assert names.index("b") < names.index("a")
    assert names.index("compose") < names.index("encode") < names.index("transcribe")
    with pytest.raises(ValueError, match="wait for each other"):
        in_order([StepSpec(name="a", queue="q", needs=("b",)), StepSpec(name="b", queue="q", needs=("a",))])
