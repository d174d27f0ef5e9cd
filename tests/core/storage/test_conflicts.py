"""No job replaces what it reads, nor what isn't its own: asked before any work, and again when it publishes."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import BadCall, NoSpace, WouldReplace
from core.jobs.correction import correct, correctable
from core.model import Artifact, Job, Manifest, Source, State, Step
from core.pipeline import attempt, in_process, lifecycle, planning
from core.pipeline.planning import Host
from core.plugin_host.manager import Manager
from core.settings import Settings
from core.storage import ledger
from core.storage.job_folder import JobFolder
from core.storage.permissions import Access
from core.storage.publish import place, put_back

from ...conftest import TOY_ENGINE, InstallPlugin, ended

#: As the toy, but says beforehand how its files are called.
FORETELLING = (
    TOY_ENGINE
    + """
    @hookimpl
    def file_names(step):
        return ["*p.mp4", "audio_192k.mp3", "info_video.json"] if step == "encode" else None
"""
)

#: Transcribes whatever it is given.
EAR = """
    from core import Artifact, Segment, Transcript, hookimpl

    @hookimpl
    def transcribe(job, audio, options, context):
        assert audio.exists()
        return Transcript(language="fr", segments=(Segment(text="Bonjour", start=0, end=1),))

    @hookimpl
    def write_captions(transcript, context):
        (context.output / "transcript_fr.vtt").write_text(transcript.segments[0].text)
        return [Artifact(kind="caption", path="transcript_fr.vtt", media_type="text/vtt")]

    @hookimpl
    def file_names(step):
        return ["transcript_*.vtt"] if step == "transcribe" else None
"""

FILES = {"360p.mp4": "film", "audio_192k.mp3": "sound", "info_video.json": "info"}

Run = Callable[..., Manifest]


BOTH_WAYS = pytest.mark.parametrize("engine", [FORETELLING, TOY_ENGINE], ids=["foretold", "not foretold"])


@pytest.fixture
def engine() -> str:
    return FORETELLING


@pytest.fixture
def host(settings: Settings, install_plugin: InstallPlugin, engine: str) -> Host:
    install_plugin("toy", engine)
    install_plugin("ear", EAR)
    only = settings.model_copy(update={"plugins_only": ("toy", "ear")})
    return Host(only, Manager(only))


@pytest.fixture
def run(host: Host) -> Run:
    """Run a job in-process, as `amphipod run` does."""

    def run(
        source: Path,
        output: Path,
        files: dict[str, str] = FILES,
        *,
        steps: tuple[Step, ...] = ("encode",),
        replace: bool = False,
        checked: bool = True,
        **options: Any,
    ) -> Manifest:
        job = Job(
            id=lifecycle.new_id(),
            sources=(Source(path=source),),
            steps=steps,
            output=output,
            replace=replace,
            options={"do": {"write_files": files}, **options},
        )
        if checked:
            planning.check(host, job)
        return in_process.run_embedded(host, lifecycle.submit(job, host.settings.jobs_root)[0])

    return run


def lecture(folder: Path, name: str = "lecture.mp4") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"the recording {name}")
    return folder / name


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def refused(run: Run, source: Path, output: Path, **given: Any) -> str:
    """Run a job that is refused, before any work or when it publishes; return the words."""
    try:
        whole = run(source, output, **given)
    except WouldReplace as error:
        return str(error)
    assert whole.state is State.FAILED
    return whole.reason or ""


class TestInputs:
    @BOTH_WAYS
    @pytest.mark.parametrize("replace", [False, True])
    def test_a_source_is_not_replaced_by_its_own_output(self, run: Run, tmp_path: Path, replace: bool) -> None:
        source = lecture(tmp_path / "s", "audio_192k.mp3")

        words = refused(run, source, source.parent, replace=replace)

        assert f"{source}: would be replaced by this job, which reads it: publish into another folder" in words
        assert source.read_text() == "the recording audio_192k.mp3"
        assert names(source.parent) == ["audio_192k.mp3"]

    @pytest.mark.parametrize("link", [os.link, os.symlink])
    def test_nor_under_another_name_of_the_file(self, run: Run, tmp_path: Path, link: Callable[..., None]) -> None:
        source = lecture(tmp_path / "s")
        (tmp_path / "out").mkdir()
        link(source, tmp_path / "out" / "360p.mp4")

        assert "which reads it" in refused(run, source, tmp_path / "out", replace=True)
        assert (tmp_path / "out" / "360p.mp4").read_text() == "the recording lecture.mp4"

    def test_nor_is_a_file_that_an_option_names(self, run: Run, tmp_path: Path) -> None:
        logo = lecture(tmp_path / "out", "360p.mp4")

        words = refused(
            run, lecture(tmp_path / "s"), logo.parent, replace=True, dressing={"watermark": {"path": str(logo)}}
        )

        assert f"{logo}: would be replaced by this job, which reads it" in words
        assert logo.read_text() == "the recording 360p.mp4"

    @BOTH_WAYS
    def test_nor_is_one_removed_that_an_earlier_job_has_published(self, run: Run, tmp_path: Path) -> None:
        output = tmp_path / "out"
        run(lecture(tmp_path / "s"), output, FILES | {"1080.mp4": "large"})

        assert "1080.mp4: would be replaced" in refused(run, output / "1080.mp4", output)
        assert names(output) == ["1080.mp4", "360p.mp4", "audio_192k.mp3", "info_video.json"]

    def test_what_comes_into_the_way_while_it_works_is_seen_when_it_publishes(
        self, host: Host, run: Run, tmp_path: Path
    ) -> None:
        source, output = lecture(tmp_path / "s"), tmp_path / "out"
        job = Job(
            id="j1",
            sources=(Source(path=source),),
            steps=("encode",),
            output=output,
            options={"do": {"write_files": FILES}},
        )
        folder, _ = lifecycle.submit(job, host.settings.jobs_root)
        attempt.run_step(host, folder, "encode")
        source.rename(output / "360p.mp4")
        source.symlink_to(output / "360p.mp4")

        result = lifecycle.finish(host, folder)

        assert result.state is State.FAILED
        assert "not published: " in (result.reason or "")
        assert source.read_text() == "the recording lecture.mp4"
        assert names(output) == ["360p.mp4"]


class TestOthers:
    @BOTH_WAYS
    @pytest.mark.parametrize("checked", [True, False], ids=["at the call", "by the worker"])
    def test_another_lectures_files_are_refused_before_any_work(self, run: Run, tmp_path: Path, checked: bool) -> None:
        output = tmp_path / "out"
        first = lecture(tmp_path / "s", "one.mp4")
        run(first, output)
        before = {name: (output / name).read_text() for name in FILES}

        two = lecture(tmp_path / "s", "two.mp4")
        if checked:
            with pytest.raises(WouldReplace) as refusal:
                run(two, output)
            words = str(refusal.value)
        else:
            whole = run(two, output, checked=False)
            assert whole.state is State.FAILED
            assert "encode" in (whole.reason or "")
            words = whole.reason or ""

        assert f"{output}/360p.mp4, audio_192k.mp3, info_video.json: is of another source, {first} (job " in words
        assert words.endswith("publish into another folder, or --replace")
        assert {name: (output / name).read_text() for name in FILES} == before

    def test_replace_makes_the_folder_the_new_lectures(self, run: Run, tmp_path: Path) -> None:
        output = tmp_path / "out"
        run(lecture(tmp_path / "s", "one.mp4"), output, FILES | {"1080p.mp4": "large"})
        run(lecture(tmp_path / "s", "two.mp4"), output, {"360p.mp4": "two"}, replace=True)

        assert names(output) == ["360p.mp4"]
        assert (output / "360p.mp4").read_text() == "two"

    @BOTH_WAYS
    def test_a_persons_own_file_under_our_name_is_refused(self, run: Run, tmp_path: Path) -> None:
        output = tmp_path / "out"
        mine = lecture(output, "360p.mp4")

        words = refused(run, lecture(tmp_path / "s"), output)

        assert f"{mine}: is there already, and no job has published it" in words
        assert names(output) == ["360p.mp4"]

    def test_a_published_file_that_a_person_has_changed_is_theirs(self, run: Run, tmp_path: Path) -> None:
        source, output = lecture(tmp_path / "s"), tmp_path / "out"
        run(source, output, {"a.mp4": "1", "b.mp4": "2"})
        (output / "a.mp4").write_text("mended by hand")

        words = refused(run, source, output, files={"a.mp4": "3"})

        assert f"{output}/a.mp4: has been changed since job " in words
        assert (output / "a.mp4").read_text() == "mended by hand"
        run(source, output, {"c.mp4": "3"}, replace=True)
        assert names(output) == ["a.mp4", "c.mp4"]

    def test_a_folder_under_our_name_is_never_replaced(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "out" / "360p.mp4").mkdir(parents=True)

        words = refused(run, lecture(tmp_path / "s"), tmp_path / "out", replace=True)

        assert "360p.mp4: is a folder" in words


class TestOwn:
    def test_the_same_source_again_replaces_what_it_made_and_removes_the_rest(self, run: Run, tmp_path: Path) -> None:
        source, output = lecture(tmp_path / "s"), tmp_path / "out"
        run(source, output, FILES | {"1080p.mp4": "large"})
        (output / "notes.txt").write_text("a person's")

        assert run(source, output, {"360p.mp4": "again"}).state is State.SUCCEEDED
        assert names(output) == ["360p.mp4", "notes.txt"]

    def test_steps_add_to_each_other(self, run: Run, tmp_path: Path) -> None:
        source, output = lecture(tmp_path / "s"), tmp_path / "out"
        run(source, output)

        assert run(output / "audio_192k.mp3", output, steps=("transcribe",)).state is State.SUCCEEDED
        assert names(output) == sorted([*FILES, "transcript_fr.vtt"])

    def test_what_is_made_of_a_published_file_is_of_that_files_source(self, run: Run, tmp_path: Path) -> None:
        source, output = lecture(tmp_path / "s"), tmp_path / "out"
        run(source, output)
        run(output / "audio_192k.mp3", output, steps=("transcribe",))

        assert run(source, output, steps=("encode", "transcribe")).state is State.SUCCEEDED
        assert names(output) == sorted([*FILES, "transcript_fr.vtt"])

    def test_an_older_job_of_another_step_is_not_superseded(self, host: Host, run: Run, tmp_path: Path) -> None:
        source, output = lecture(tmp_path / "s"), tmp_path / "out"
        older = Job(
            id="older",
            sources=(Source(path=source),),
            steps=("encode",),
            output=output,
            options={"do": {"write_files": FILES}},
        )
        run(source, output, steps=("transcribe",))

        folder, _ = lifecycle.submit(older, host.settings.jobs_root)
        assert in_process.run_embedded(host, folder).state is State.SUCCEEDED
        assert names(output) == sorted([*FILES, "transcript_fr.vtt"])

    def test_the_same_request_once_more_is_no_conflict(self, host: Host, tmp_path: Path) -> None:
        source, output = lecture(tmp_path / "s"), tmp_path / "out"
        do = {"do": {"write_files": FILES}}
        job = Job(id="key-1", sources=(Source(path=source),), steps=("encode",), output=output, options=do)
        folder, _ = lifecycle.submit(job, host.settings.jobs_root)
        in_process.run_embedded(host, folder)
        (output / "360p.mp4").write_text("changed meanwhile")

        planning.check(host, job)


class TestPlace:
    def job(self, host: Host, name: str, target: Path, source: Path) -> Any:
        job = Job(id=name, sources=(Source(path=source),), steps=("encode",), placed=(target,))
        return lifecycle.submit(job, host.settings.jobs_root)[0]

    def test_somebody_elses_film_stays_and_the_job_fails_before_any_work(self, host: Host, tmp_path: Path) -> None:
        film = lecture(tmp_path / "others", "film.mp4")
        folder = self.job(host, "j1", film, lecture(tmp_path / "s"))

        whole = in_process.run_embedded(host, folder)

        assert whole.state is State.FAILED
        assert f"{film}: is there already, and is not of this job's making: move it away" in (whole.reason or "")
        assert film.read_text() == "the recording film.mp4"

    def test_a_film_of_the_same_takes_is_replaced(self, host: Host, tmp_path: Path) -> None:
        made, source, film = lecture(tmp_path / "made"), lecture(tmp_path / "s"), tmp_path / "film.mp4"
        for name in ("j1", "j2"):
            place(self.job(host, name, film, source), made, film, Access())

        with pytest.raises(WouldReplace):
            place(self.job(host, "j3", film, lecture(tmp_path / "s", "b.mp4")), made, film, Access())
        assert film.read_text() == "the recording lecture.mp4"


def test_an_unreadable_ledger_makes_its_files_nobodys(tmp_path: Path, run: Run) -> None:
    source, output = lecture(tmp_path / "s"), tmp_path / "out"
    run(source, output)
    (path,) = (tmp_path / "root" / "outputs").glob("*.json")
    path.write_text(json.dumps({"output": str(output), "names": ["360p.mp4"]}))

    assert ledger.read(tmp_path / "root", output).entries == ()
    assert names(output) == sorted(FILES)


def test_nothing_is_published_where_jobs_are_swept(tmp_path: Path, run: Run) -> None:
    with pytest.raises(WouldReplace, match="lies among the jobs' own files, which are swept: publish into another"):
        run(lecture(tmp_path / "s"), tmp_path / "root" / "jobs" / "another" / "out")


def test_no_replace_is_advised_that_would_not_help(tmp_path: Path, run: Run) -> None:
    (tmp_path / "out" / "360p.mp4").mkdir(parents=True)
    words = refused(run, lecture(tmp_path / "s"), tmp_path / "out", replace=True)
    assert words.endswith("is a folder: publish into another folder")


def test_the_command_says_it_in_one_line(install_plugin: InstallPlugin, monkeypatch: pytest.MonkeyPatch) -> None:
    install_plugin("toy", FORETELLING)
    monkeypatch.setenv("AMPHIPOD_PLUGINS_ONLY", "toy")
    source = lecture(Path("s"), "audio_192k.mp3")
    command = [sys.executable, "-m", "core.cli", "run", source.name, "--steps", "encode", "--out", "."]
    command += ["--option", f"do={json.dumps({'write_files': FILES})}"]
    done = subprocess.run(command, cwd=source.parent, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        f"amphipod: {source.resolve()}: would be replaced by this job, which reads it: publish into another folder"
    )
    assert not Path("data/amphipod/jobs").exists()


#: Corrects a file of a job, and is killed when it is published and not yet recorded.
KILLED_BEFORE_THE_RECORD = """
import os, signal, sys
from pathlib import Path
from core import settings
from core.jobs.correction import correct, correctable
from core.pipeline import corrections

root, output, file = map(Path, sys.argv[1:])
corrections.record = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
loaded = settings.load(jobs_root=root)
correct(correctable(output, "transcribe", settings=loaded), [file], "corrected", settings=loaded)
"""


def captioned(host: Host, tmp_path: Path) -> str:
    """End a job as the ear does it, without a process."""

    def make(folder: Path) -> list[Artifact]:
        (folder / "transcript_fr.vtt").write_text("Bonjour")
        return [Artifact(kind="caption", path="transcript_fr.vtt", media_type="text/vtt")]

    job = Job(
        id=lifecycle.new_id(),
        sources=(Source(path=lecture(tmp_path / "s")),),
        steps=("transcribe",),
        output=tmp_path / "out",
    )
    return ended(host, job, make).id


class TestCorrections:
    @pytest.fixture
    def corrected(self, host: Host, tmp_path: Path) -> Manifest:
        """A job whose captions a person has corrected, in the folder `out`."""
        captioned(host, tmp_path)
        (tmp_path / "transcript_fr.vtt").write_text("Bonsoir")
        found = correctable(tmp_path / "out", "transcribe", settings=host.settings)
        return correct(found, [tmp_path / "transcript_fr.vtt"], "corrected", settings=host.settings)

    def test_stand_where_the_job_has_published_and_in_its_manifest(self, corrected: Manifest, tmp_path: Path) -> None:
        made = corrected.steps["transcribe"]
        assert (tmp_path / "out/transcript_fr.vtt").read_text() == "Bonsoir"
        assert made.artifacts[0].sha256 == hashlib.sha256(b"Bonsoir").hexdigest()
        assert made.corrected_at
        assert made.notes[-1] == "corrected"

    def test_are_replaced_by_no_later_job_of_the_same_source(
        self, run: Run, corrected: Manifest, tmp_path: Path
    ) -> None:
        source, output = corrected.job.source.path, tmp_path / "out"

        words = refused(run, source, output, steps=("transcribe",))

        assert "was corrected by a person on" in words
        assert words.endswith("remove them to have them anew, or --replace, which keeps them")
        assert (output / "transcript_fr.vtt").read_text() == "Bonsoir"

    def test_are_kept_by_one_that_replaces_and_says_so(
        self, run: Run, host: Host, corrected: Manifest, tmp_path: Path
    ) -> None:
        source, published = corrected.job.source.path, tmp_path / "out/transcript_fr.vtt"

        again = run(source, tmp_path / "out", steps=("transcribe",), replace=True)

        assert published.read_text() == "Bonsoir"
        made = again.steps["transcribe"]
        assert made.corrected_at == corrected.steps["transcribe"].corrected_at
        assert made.artifacts[0].sha256 == hashlib.sha256(b"Bonsoir").hexdigest()
        assert made.notes[-1].endswith(f"remove them from {tmp_path / 'out'} and run again")
        assert correctable(tmp_path / "out", "transcribe", settings=host.settings).manifest.job.id == again.job.id
        assert "was corrected by a person on" in refused(run, source, tmp_path / "out", steps=("transcribe",))

        published.unlink()
        run(source, tmp_path / "out", steps=("transcribe",), replace=True)
        assert published.read_text() == "Bonjour"

    def test_of_another_film_are_replaced(self, run: Run, corrected: Manifest, tmp_path: Path) -> None:
        run(lecture(tmp_path / "other"), tmp_path / "out", steps=("transcribe",), replace=True)
        assert (tmp_path / "out/transcript_fr.vtt").read_text() == "Bonjour"

    def test_that_a_kill_has_left_without_a_record_get_it(self, host: Host, tmp_path: Path) -> None:
        captioned(host, tmp_path)
        (tmp_path / "transcript_fr.vtt").write_text("Bonsoir")
        found = correctable(tmp_path / "out", "transcribe", settings=host.settings)
        folder, published = (
            JobFolder(host.settings.jobs_root, found.manifest.job.id),
            tmp_path / "out/transcript_fr.vtt",
        )
        program = [sys.executable, "-c", KILLED_BEFORE_THE_RECORD]
        places = (host.settings.jobs_root, tmp_path / "out", tmp_path / "transcript_fr.vtt")
        assert subprocess.run([*program, *map(str, places)]).returncode == -signal.SIGKILL
        assert not folder.correction("transcribe", 1).exists()
        assert published.read_text() == "Bonsoir"
        published.unlink()

        put_back(folder, access=Access())
        found = correctable(tmp_path / "out", "transcribe", settings=host.settings)

        assert published.read_text() == "Bonsoir"
        assert found.result.artifacts[0].sha256 == hashlib.sha256(b"Bonsoir").hexdigest()
        assert Manifest.model_validate_json(folder.manifest.read_bytes()) == found.manifest

    def test_take_no_place_of_what_somebody_has_changed_since(
        self, host: Host, corrected: Manifest, tmp_path: Path
    ) -> None:
        published = tmp_path / "out/transcript_fr.vtt"
        published.unlink()
        published.write_text("by hand, elsewhere")
        found = correctable(corrected.job.id, "transcribe", settings=host.settings)

        with pytest.raises(WouldReplace, match="has been changed since"):
            correct(found, [tmp_path / "transcript_fr.vtt"], "again", settings=host.settings)

        assert published.read_text() == "by hand, elsewhere"
        assert correctable(corrected.job.id, "transcribe", settings=host.settings) == found

    def test_of_a_folder_that_no_job_knows_are_refused(self, host: Host, tmp_path: Path) -> None:
        with pytest.raises(BadCall, match="no jobs have published files of transcribe here: name the job"):
            correctable(tmp_path, "transcribe", settings=host.settings)


class TestCorrectionsOnAFullDisk:
    @pytest.fixture
    def settings(self, small_disk: Path) -> Settings:
        return Settings(jobs_root=small_disk / "root")

    def test_what_is_published_and_what_is_recorded_agree_wherever_it_fills(
        self, host: Host, small_disk: Path, tmp_path: Path
    ) -> None:
        job = captioned(host, tmp_path)
        published, new, filler = (
            tmp_path / "out/transcript_fr.vtt",
            tmp_path / "transcript_fr.vtt",
            small_disk / "filler",
        )
        page, outcomes = os.sysconf("SC_PAGE_SIZE"), set()
        for pages in range(0, 24, 2):
            found = correctable(job, "transcribe", settings=host.settings)
            new.write_text(f"Bonsoir {pages}")
            filler.write_bytes(bytes((os.statvfs(small_disk).f_bavail - pages) * page))
            try:
                correct(found, [new], "long " * 2000, settings=host.settings)
                outcomes.add("corrected")
            except NoSpace:
                outcomes.add("full")
            filler.unlink()

            (made,) = correctable(job, "transcribe", settings=host.settings).result.artifacts
            assert made.sha256 == hashlib.sha256(published.read_bytes()).hexdigest()
        assert outcomes == {"full", "corrected"}
