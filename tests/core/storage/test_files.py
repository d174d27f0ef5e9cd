from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import NoSpace, NotWritable, UnknownJob, UnsafePath
from core.model import Job, Source
from core.storage import files, job_folder, scratch_folder
from core.storage.job_folder import JobFolder


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    job = Job(id="j1", sources=(Source(path=Path("a.mp4")),), steps=("encode",))
    return job_folder.store(job, tmp_path)[0]


class TestPathsFromOutside:
    def test_a_relative_path_is_looked_for_under_each_root(self, tmp_path: Path) -> None:
        one, two = tmp_path / "one", tmp_path / "two"
        for root in (one, two):
            root.mkdir()
        (two / "a.mp4").touch()

        assert files.resolve(Path("a.mp4"), [one, two]) == two / "a.mp4"

    def test_an_absolute_path_inside_a_root_is_taken(self, tmp_path: Path) -> None:
        assert files.resolve(tmp_path / "a.mp4", [tmp_path]) == tmp_path / "a.mp4"

    @pytest.mark.parametrize("path", ["../a.mp4", "x/../../a.mp4", "/etc/passwd"])
    def test_a_path_that_leaves_the_roots_is_refused(self, tmp_path: Path, path: str) -> None:
        with pytest.raises(UnsafePath, match=path):
            files.resolve(Path(path), [tmp_path])

    def test_a_link_that_leaves_the_roots_is_refused(self, tmp_path: Path) -> None:
        root = tmp_path / "root"
        root.mkdir()
        (root / "way-out").symlink_to(tmp_path)

        with pytest.raises(UnsafePath, match="outside the media roots"):
            files.resolve(Path("way-out/a.mp4"), [root])

    def test_a_root_may_itself_be_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        (tmp_path / "root").symlink_to(tmp_path / "real")

        assert files.resolve(tmp_path / "root" / "a.mp4", [tmp_path / "root"]) == tmp_path / "real" / "a.mp4"


class TestFilesAppearWhole:
    def test_the_first_writer_wins(self, tmp_path: Path) -> None:
        files.write_once(tmp_path / "a.json", "first")

        with pytest.raises(FileExistsError):
            files.write_once(tmp_path / "a.json", "second")
        assert (tmp_path / "a.json").read_text() == "first"

    def test_one_of_many_simultaneous_writers_wins(self, tmp_path: Path) -> None:
        code = (
            "import sys; from pathlib import Path; from core.storage import files\n"
            "try: files.write_once(Path(sys.argv[1]), sys.argv[2]); print('won')\n"
            "except FileExistsError: print('lost')"
        )
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", code, str(tmp_path / "a.json"), str(number)], stdout=subprocess.PIPE, text=True
            )
            for number in range(6)
        ]
        words = [writer.communicate()[0].strip() for writer in writers]

        assert sorted(words) == ["lost"] * 5 + ["won"]
        assert (tmp_path / "a.json").read_text() == str(words.index("won"))

    def test_nothing_is_left_beside_the_file(self, tmp_path: Path) -> None:
        files.write_once(tmp_path / "a.json", "x")
        files.write_replacing(tmp_path / "a.json", "y")

        assert [path.name for path in tmp_path.glob("*.json*")] == ["a.json"]
        assert (tmp_path / "a.json").read_text() == "y"
        assert not list(tmp_path.glob(".a.json*"))

    def test_a_full_disk_leaves_nothing(self, small_disk: Path) -> None:
        with pytest.raises(NoSpace, match="no space left"), files.disk_errors(small_disk):
            files.write_once(small_disk / "a.json", "x" * 8_000_000)
        assert list(small_disk.iterdir()) == []

    def test_a_refusing_folder_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()

        with pytest.raises(NotWritable, match="file"), files.disk_errors(tmp_path / "file"):
            files.write_once(tmp_path / "file" / "a.json", "x")


class TestJobFolder:
    def test_a_job_is_stored_once(self, folder: JobFolder) -> None:
        again, new = job_folder.store(folder.job(), folder.root)

        assert again == folder
        assert not new

    def test_a_store_that_was_killed_before_the_request_is_completed(self, tmp_path: Path) -> None:
        (tmp_path / "jobs" / "j1").mkdir(parents=True)
        job = Job(id="j1", sources=(Source(path=Path("a.mp4")),), steps=("encode",))

        folder, new = job_folder.store(job, tmp_path)

        assert new
        assert folder.job() == job

    def test_an_unknown_job_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(UnknownJob, match="no job nobody"):
            JobFolder(tmp_path, "nobody").job()

    def test_an_id_cannot_climb_out(self, tmp_path: Path) -> None:
        with pytest.raises(UnknownJob, match="is not an id"):
            _ = JobFolder(tmp_path, "../other").path


class TestAttempts:
    def test_attempts_are_counted_by_their_folders(self, folder: JobFolder) -> None:
        first = scratch_folder.begin_attempt(folder, "encode", after=0)
        scratch_folder.empty(first, "crashed")
        second = scratch_folder.begin_attempt(folder, "encode", after=0)

        assert [scratch.attempt for scratch in scratch_folder.attempts(folder, "encode")] == [1, 2]
        assert second.path.name == "encode.2"

    def test_numbers_go_on_after_those_that_were_committed(self, folder: JobFolder) -> None:
        assert scratch_folder.begin_attempt(folder, "encode", after=4).attempt == 5

    def test_an_attempt_of_a_living_process_is_not_abandoned(self, folder: JobFolder) -> None:
        scratch = scratch_folder.begin_attempt(folder, "encode", after=0)

        assert not scratch_folder.is_abandoned(scratch, older_than=0)

    def test_an_attempt_of_a_dead_process_is_abandoned_at_once(self, folder: JobFolder) -> None:
        code = (
            "import sys; from pathlib import Path; from core.storage import job_folder, scratch_folder\n"
            "scratch_folder.begin_attempt(job_folder.JobFolder(Path(sys.argv[1]), 'j1'), 'encode', after=0)"
        )
        subprocess.run([sys.executable, "-c", code, str(folder.root)], check=True)
        (scratch,) = scratch_folder.attempts(folder, "encode")

        assert scratch_folder.is_abandoned(scratch, older_than=3600)

    def test_an_attempt_of_another_host_is_abandoned_when_it_was_not_touched(self, folder: JobFolder) -> None:
        scratch = scratch_folder.begin_attempt(folder, "encode", after=0)
        scratch.owner.write_text('{"host": "elsewhere", "pid": 1, "process": "x"}')
        os.utime(scratch.owner, (0, 0))

        assert scratch_folder.is_abandoned(scratch, older_than=60)
        scratch.owner.touch()
        assert not scratch_folder.is_abandoned(scratch, older_than=60)

    def test_sweep_takes_only_what_nobody_works_in(self, folder: JobFolder) -> None:
        dead = scratch_folder.begin_attempt(folder, "encode", after=0)
        scratch_folder.empty(dead, "crashed")
        scratch_folder.begin_attempt(folder, "encode", after=0)

        assert scratch_folder.sweep(folder, older_than=60) == 1
        assert [scratch.attempt for scratch in scratch_folder.attempts(folder)] == [2]


def test_a_folder_deeper_than_functions_recurse_is_removed_whatever_its_rights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "top").mkdir()
    monkeypatch.chdir(tmp_path / "top")
    for _ in range(1500):
        Path("d").mkdir()
        Path("f").touch()
        os.chdir("d")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "top").chmod(0)
    files.remove(tmp_path / "top")
    assert not (tmp_path / "top").exists()
