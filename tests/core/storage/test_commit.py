from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from textwrap import dedent

import pytest

from core.errors import HookFailed, NoSpace, NotWritable, StepCrashed
from core.model import KINDS, Artifact, Job, Source, State, StepResult, now
from core.pipeline import lifecycle
from core.storage import commit, publish, scratch_folder
from core.storage import files as storage_files
from core.storage.conflicts import STAGE_PREFIX
from core.storage.job_folder import JobFolder
from core.storage.ledger import Publication
from core.storage.scratch_folder import Scratch

FILES = {
    "360p.mp4": "rendition",
    "360p.ts": "segment",
    "360p.m3u8": "playlist",
    "thumbnail_0001.png": "thumbnail",
    "livestream.m3u8": "master",
    "info_video.json": "info",
}


def new_job(root: Path, name: str = "j1", output: Path | None = None, ahead: float = 0) -> JobFolder:
    """Submit a job, by a portal whose clock is `ahead` by so many seconds."""
    job = Job(
        id=name,
        sources=(Source(path=Path("a.mp4")),),
        steps=("encode",),
        output=output,
        created_at=now() + timedelta(seconds=ahead),
    )
    return lifecycle.submit(job, root)[0]


def result(folder: JobFolder, attempt: int = 1, files: dict[str, str] = FILES, text: str = "new") -> StepResult:
    """A success whose files are ready in the scratch folder of `attempt`."""
    scratch = scratch_folder.begin_attempt(folder, "encode", after=attempt - 1)
    for name in files:
        (scratch.output / name).write_text(f"{text} {name}")
    artifacts = [Artifact(kind=kind, path=name, media_type="x/y") for name, kind in files.items()]
    return StepResult(
        job=folder.id,
        step="encode",
        run=1,
        attempt=attempt,
        state=State.SUCCEEDED,
        folder=f"out/encode.{attempt}",
        artifacts=commit.measure(artifacts, scratch.output),
        host="h",
        started_at=now(),
        finished_at=now(),
    )


def scratch_of(folder: JobFolder, attempt: int = 1) -> Scratch:
    return Scratch(folder.scratch / f"encode.{attempt}", "encode", attempt)


def committed(folder: JobFolder, **kwargs: object) -> StepResult:
    return commit.commit(folder, result(folder, **kwargs), scratch_of(folder))  # type: ignore[arg-type]


class TestMeasure:
    def test_size_and_digest_are_those_of_the_file(self, tmp_path: Path) -> None:
        (tmp_path / "a.mp3").write_bytes(b"abc")

        (measured,) = commit.measure([Artifact(kind="audio", path="a.mp3", media_type="audio/mpeg")], tmp_path)

        assert measured.size == 3
        assert measured.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

    def test_an_artifact_without_a_file_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(HookFailed, match=r"did not write: a\.mp3"):
            commit.measure([Artifact(kind="audio", path="a.mp3", media_type="audio/mpeg")], tmp_path)

    def test_a_file_without_an_artifact_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "left.tmp").touch()

        with pytest.raises(HookFailed, match=r"did not name: left\.tmp"):
            commit.measure([], tmp_path)


class TestCheck:
    """What the process of a step says it has left, against what lies there."""

    MADE = (Artifact(kind="rendition", path="a/b.mp4", media_type="video/mp4", size=1),)

    @pytest.fixture
    def output(self, tmp_path: Path) -> Path:
        (tmp_path / "output" / "a").mkdir(parents=True)
        (tmp_path / "output" / "a" / "b.mp4").write_text("x")
        return tmp_path / "output"

    def test_nothing_can_be_run(self, output: Path) -> None:
        (output / "a" / "b.mp4").chmod(0o6755)
        commit.check(self.MADE, output)
        assert (output / "a" / "b.mp4").stat().st_mode & 0o7777 == 0o644

    @pytest.mark.parametrize("left", ["file", "folder", "link", "pipe", "other"])
    def test_what_was_not_named_is_refused(self, output: Path, left: str) -> None:
        match left:
            case "file":
                (output / "a" / "more.mp4").touch()
            case "folder":
                (output / "b").mkdir()
            case "link":
                (output / "b.mp4").symlink_to("/etc/passwd")
            case "pipe":
                os.mkfifo(output / "b.mp4")
            case "other":
                (output / "a" / "b.mp4").write_text("longer")
        with pytest.raises(StepCrashed, match="left what it did not name"):
            commit.check(self.MADE, output)

    def test_what_was_named_and_is_not_there_is_refused(self, output: Path) -> None:
        (output / "a" / "b.mp4").unlink()
        with pytest.raises(StepCrashed, match=r"named what it did not make: a/b\.mp4"):
            commit.check(self.MADE, output)


class TestCommit:
    def test_files_and_result_appear_and_scratch_is_gone(self, tmp_path: Path) -> None:
        folder = new_job(tmp_path)

        standing = committed(folder)

        assert standing.attempt == 1
        assert sorted(path.name for path in (folder.out / "encode.1").iterdir()) == sorted(FILES)
        assert list(folder.scratch.iterdir()) == []

    def test_the_second_attempt_drops_its_files_and_goes_on_with_the_firsts(self, tmp_path: Path) -> None:
        folder = new_job(tmp_path)
        first, second = result(folder, 1), result(folder, 2)

        commit.commit(folder, second, scratch_of(folder, 2))
        standing = commit.commit(folder, first, scratch_of(folder, 1))

        assert standing == second
        assert [path.name for path in folder.out.iterdir()] == ["encode.2"]
        assert list(folder.scratch.iterdir()) == []

    def test_an_attempt_that_was_swept_goes_on_with_what_stands(self, tmp_path: Path) -> None:
        folder = new_job(tmp_path)
        first, second = result(folder, 1), result(folder, 2)
        commit.commit(folder, second, scratch_of(folder, 2))
        storage_files.remove(scratch_of(folder, 1).path)

        assert commit.commit(folder, first, scratch_of(folder, 1)) == second

    def test_a_scratch_folder_that_vanished_before_any_commit_is_a_crash(self, tmp_path: Path) -> None:
        folder = new_job(tmp_path)
        ours = result(folder)
        storage_files.remove(scratch_of(folder).path)

        with pytest.raises(StepCrashed, match="removed while it ran"):
            commit.commit(folder, ours, scratch_of(folder))

    def test_killed_between_its_files_and_its_result_it_has_committed_nothing(self, tmp_path: Path) -> None:
        folder = new_job(tmp_path)
        result(folder)
        (folder.scratch / "encode.1" / "output").rename(folder.out / "encode.1")

        standing = commit.commit(folder, result(folder, 2), scratch_of(folder, 2))

        assert standing.attempt == 2


class TestPublish:
    def test_the_named_folder_holds_the_files_and_nothing_of_ours(self, tmp_path: Path) -> None:
        output = tmp_path / "0042"
        folder = new_job(tmp_path / "root", output=output)

        state = publish.publish(folder, folder.job(), [committed(folder)])

        assert state is State.SUCCEEDED
        assert sorted(path.name for path in output.iterdir()) == sorted(FILES)
        assert (output / "360p.mp4").read_text() == "new 360p.mp4"

    def test_what_an_older_job_published_and_a_younger_does_not_is_removed(self, tmp_path: Path) -> None:
        output = tmp_path / "0042"
        old = new_job(tmp_path / "root", "old", output)
        publish.publish(old, old.job(), [committed(old)])
        (output / "notes.txt").write_text("the portal's own")
        young = new_job(tmp_path / "root", "young", output)

        publish.publish(young, young.job(), [committed(young, files={"360p.mp4": "rendition"}, text="newer")])

        assert sorted(path.name for path in output.iterdir()) == ["360p.mp4", "notes.txt"]
        assert (output / "360p.mp4").read_text() == "newer 360p.mp4"

    def test_an_older_job_that_comes_late_is_superseded(self, tmp_path: Path) -> None:
        output = tmp_path / "0042"
        old = new_job(tmp_path / "root", "old", output)
        young = new_job(tmp_path / "root", "young", output)
        publish.publish(young, young.job(), [committed(young, text="young")])

        state = publish.publish(old, old.job(), [committed(old, text="old")])

        assert state is State.SUPERSEDED
        assert (output / "360p.mp4").read_text() == "young 360p.mp4"

    def test_jobs_are_ordered_as_they_came_and_not_by_their_portals_clocks(self, tmp_path: Path) -> None:
        output = tmp_path / "0042"
        ahead = new_job(tmp_path / "root", "ahead", output, ahead=24 * 3600)
        made = committed(ahead, text="first")
        publish.publish(ahead, ahead.job(), [made])
        right = new_job(tmp_path / "root", "right", output)

        assert publish.publish(right, right.job(), [committed(right, text="second")]) is State.SUCCEEDED
        assert publish.publish(ahead, ahead.job(), [made]) is State.SUPERSEDED

        assert (output / "360p.mp4").read_text() == "second 360p.mp4"

    def test_a_stage_whose_publish_was_never_committed_is_dropped(self, tmp_path: Path) -> None:
        output = tmp_path / "0042"
        stage = output / ".amphipod-lost.abcd"
        stage.mkdir(parents=True)
        (stage / "360p.mp4").write_text("half")
        folder = new_job(tmp_path / "root", output=output)

        publish.publish(folder, folder.job(), [committed(folder)])

        assert not stage.exists()
        assert (output / "360p.mp4").read_text() == "new 360p.mp4"

    def test_a_full_disk_leaves_what_was_published_before(self, tmp_path: Path, small_disk: Path) -> None:
        output = small_disk / "0042"
        old = new_job(tmp_path / "root", "old", output)
        publish.publish(old, old.job(), [committed(old, text="old")])
        young = new_job(tmp_path / "root", "young", output)

        with pytest.raises(NoSpace, match="0042: no space left"):
            publish.publish(young, young.job(), [committed(young, text="young" * 400_000)])
        assert sorted(path.name for path in output.iterdir()) == sorted(FILES)
        assert (output / "360p.mp4").read_text() == "old 360p.mp4"

    def test_a_folder_that_cannot_be_made_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        folder = new_job(tmp_path / "root", output=tmp_path / "file" / "0042")

        with pytest.raises(NotWritable, match="file/0042"):
            publish.publish(folder, folder.job(), [committed(folder)])

    def test_every_kind_of_file_has_its_place(self, tmp_path: Path) -> None:
        folder = new_job(tmp_path / "root", output=tmp_path / "0042")
        files = {f"{number}.x": kind for number, kind in enumerate(reversed(KINDS))}

        publish.publish(folder, folder.job(), [committed(folder, files=files)])

        publication = Publication.model_validate_json(folder.publication.read_bytes())
        order: list[str] = [files[file.name] for file in publication.files]
        assert order == list(KINDS)
        for named, naming in [
            ("segment", "playlist"),
            ("segment", "audio_playlist"),
            ("audio_playlist", "master"),
            ("playlist", "master"),
            ("subtitle", "master"),
            ("sprite", "sprite_index"),
            ("master", "info"),
            ("caption", "info"),
            ("other", "playlist"),
        ]:
            assert order.index(named) < order.index(naming), (named, naming)

    def test_info_comes_last_and_playlists_after_segments(self, tmp_path: Path) -> None:
        output = tmp_path / "0042"
        folder = new_job(tmp_path / "root", output=output)

        publish.publish(folder, folder.job(), [committed(folder)])

        publication = Publication.model_validate_json(folder.publication.read_bytes())
        names = [file.name for file in publication.files]
        assert names.index("360p.ts") < names.index("360p.m3u8") < names.index("livestream.m3u8")
        assert names[-1] == "info_video.json"


PUBLISH_AND_DIE = dedent(
    """
    import os, signal, sys
    from pathlib import Path
    from core.storage import job_state, publish
    from core.storage.job_folder import JobFolder

    root, name, output, fatal = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
    folder = JobFolder(root, name)
    renames = 0

    def is_into(arguments):
        return arguments[3] >= 0 and os.readlink(f"/proc/self/fd/{arguments[3]}") == output

    def die_after(event, arguments):
        # Called before each rename into the published folder: the one after number `fatal` never happens.
        global renames
        if event == "os.rename" and is_into(arguments):
            if renames == fatal:
                os.kill(os.getpid(), signal.SIGKILL)
            renames += 1

    sys.addaudithook(die_after)
    publish.publish(folder, folder.job(), [job_state.result(folder, "encode", 1)])
    """
)


class TestKilledPublish:
    @pytest.mark.parametrize("renames", range(len(FILES)))
    def test_the_next_publish_completes_it_first(self, tmp_path: Path, renames: int) -> None:
        root, output = tmp_path / "root", tmp_path / "0042"
        old = new_job(root, "old", output)
        publish.publish(old, old.job(), [committed(old, text="old")])
        killed = new_job(root, "killed", output)
        committed(killed, text="killed")
        arguments = [str(root), "killed", str(output), str(renames)]
        process = subprocess.run([sys.executable, "-c", PUBLISH_AND_DIE, *arguments])
        assert process.returncode == -signal.SIGKILL
        seen = [(output / name).read_text().split()[0] for name in FILES]
        assert seen.count("killed") == renames

        publish.complete_interrupted(output, root)

        assert [(output / name).read_text().split()[0] for name in FILES] == ["killed"] * len(FILES)
        assert not [path for path in output.iterdir() if path.name.startswith(STAGE_PREFIX)]

    def test_what_somebody_removes_while_it_is_renamed_is_told(self, tmp_path: Path) -> None:
        root, output = tmp_path / "root", tmp_path / "0042"
        committed(new_job(root, "robbed", output))
        rob = "__import__('shutil').rmtree(next(Path(output).glob('.amphipod-*')))"
        code = PUBLISH_AND_DIE.replace("os.kill(os.getpid(), signal.SIGKILL)", rob)

        done = subprocess.run(
            [sys.executable, "-c", code, str(root), "robbed", str(output), "0"], capture_output=True, text=True
        )

        assert "NotWritable" in done.stderr
        assert "360p.ts, 360p.mp4, 360p.m3u8 went missing while they were published" in done.stderr

    def test_killed_before_its_commit_it_leaves_the_old_files(self, tmp_path: Path) -> None:
        root, output = tmp_path / "root", tmp_path / "0042"
        old = new_job(root, "old", output)
        publish.publish(old, old.job(), [committed(old, text="old")])
        killed = new_job(root, "killed", output)
        committed(killed, text="killed")
        code = PUBLISH_AND_DIE.replace("is_into(arguments)", "'publish.json' in str(arguments[1])")
        subprocess.run([sys.executable, "-c", code, str(root), "killed", str(output), "0"])
        assert not killed.publication.exists()

        publish.complete_interrupted(output, root)

        assert [(output / name).read_text().split()[0] for name in FILES] == ["old"] * len(FILES)
        assert sorted(path.name for path in output.iterdir()) == sorted(FILES)
