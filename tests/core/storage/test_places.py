"""Whoever may write in a portal's folder has nothing put or removed outside it, by a link or a journal of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest
import structlog

from core.model import Job, Source, State
from core.pipeline import attempt, lifecycle
from core.pipeline.planning import Host
from core.plugin_host.manager import Manager
from core.settings import Settings
from core.storage import publish
from core.storage.job_folder import JobFolder
from core.storage.permissions import Access

from ...conftest import InstallPlugin

#: Writes one film under the name that the option says, in folders if need be.
ENGINE = """
    from core import Artifact, StepOutput, hookimpl

    @hookimpl
    def encode(job, source, options, context):
        (context.output / options["name"]).parent.mkdir(exist_ok=True)
        (context.output / options["name"]).write_text("film")
        return StepOutput(artifacts=(Artifact(kind="rendition", path=options["name"], media_type="video/mp4"),))
"""

Submit = Callable[..., JobFolder]


@pytest.fixture
def media(tmp_path: Path) -> Path:
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "a.mp4").write_text("the source")
    return tmp_path / "media"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder outside the media roots, with somebody's file."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "360p.mp4").write_text("somebody's")
    return tmp_path / "elsewhere"


@pytest.fixture
def host(settings: Settings, media: Path, install_plugin: InstallPlugin) -> Host:
    install_plugin("toy", ENGINE)
    own = settings.model_copy(update={"plugins_only": ("toy",), "media_roots": (media,)})
    return Host(own, Manager(own))


@pytest.fixture
def submit(host: Host, media: Path) -> Submit:
    def send(output: Path, name: str = "360p.mp4", *, replace: bool = False) -> JobFolder:
        job = Job(
            id=lifecycle.new_id(),
            sources=(Source(path=media / "a.mp4"),),
            steps=("encode",),
            output=output,
            replace=replace,
            options={"name": name},
        )
        return lifecycle.submit(job, host.settings.jobs_root)[0]

    return send


def unharmed(elsewhere: Path) -> bool:
    return {path.name: path.read_text() for path in elsewhere.iterdir()} == {"360p.mp4": "somebody's"}


class TestLinks:
    @pytest.mark.parametrize("replace", [False, True])
    @pytest.mark.parametrize("name", ["out", "course/out"])
    def test_a_folder_that_was_swapped_before_the_publish_is_not_published_into(
        self, host: Host, submit: Submit, media: Path, elsewhere: Path, name: str, replace: bool
    ) -> None:
        folder = submit(media / name, replace=replace)
        attempt.run_step(host, folder, "encode")
        swapped = media / Path(name).parts[0]
        swapped.rename(media / "away")
        swapped.symlink_to(elsewhere)

        reason = lifecycle.finish(host, folder).reason or ""

        assert f"{media / name}: leads out of the media roots, to {elsewhere}" in reason
        assert unharmed(elsewhere)

    def test_nor_is_it_prepared_when_it_was_swapped_before_the_step(
        self, host: Host, submit: Submit, media: Path, elsewhere: Path
    ) -> None:
        folder = submit(media / "course" / "out")
        (media / "course").symlink_to(elsewhere)

        result = attempt.run_step(host, folder, "encode")

        assert "leads out of the media roots" in (result.reason or "")
        assert unharmed(elsewhere)

    def test_a_folder_in_it_that_is_a_link_is_not_written_through(
        self, host: Host, submit: Submit, media: Path, elsewhere: Path
    ) -> None:
        folder = submit(media / "out", "hls/360p.mp4", replace=True)
        (media / "out").mkdir()
        (media / "out" / "hls").symlink_to(elsewhere)
        attempt.run_step(host, folder, "encode")

        reason = lifecycle.finish(host, folder).reason or ""

        assert f"{media}/out/hls/360p.mp4: leads out of its folder, to {elsewhere}" in reason
        assert unharmed(elsewhere)
        assert [path.name for path in (media / "out").iterdir()] == ["hls"], "nothing is left staged"

    def test_a_file_in_it_that_is_a_link_is_replaced_not_followed(
        self, host: Host, submit: Submit, media: Path, elsewhere: Path
    ) -> None:
        folder = submit(media / "out", replace=True)
        (media / "out").mkdir()
        (media / "out" / "360p.mp4").symlink_to(elsewhere / "360p.mp4")
        attempt.run_step(host, folder, "encode")

        assert lifecycle.finish(host, folder).state is State.SUCCEEDED
        assert unharmed(elsewhere)
        assert (media / "out" / "360p.mp4").read_text() == "film"

    def test_what_is_put_back_is_not_put_through_a_link(
        self, host: Host, submit: Submit, media: Path, elsewhere: Path
    ) -> None:
        folder = submit(media / "out")
        attempt.run_step(host, folder, "encode")
        lifecycle.finish(host, folder)
        (media / "out").rename(media / "away")
        (media / "out").symlink_to(elsewhere)
        (elsewhere / "360p.mp4").unlink()

        with pytest.raises(ValueError, match="leads out of the media roots"):
            publish.put_back(folder, access=Access(), roots=host.settings.media_roots)
        assert not list(elsewhere.iterdir())


#: Publishes again and again, each time with a folder swapped for a link one call of the system later.
PUBLISH_WHILE_SWAPPED = """
    import sys
    from datetime import UTC, datetime
    from pathlib import Path
    from core.errors import AmphipodError
    from core.model import Artifact, Job, Source, State, StepResult
    from core.pipeline import lifecycle
    from core.storage import publish

    base, swapped = Path(sys.argv[1]), sys.argv[2]
    calls = ("open", "os.mkdir", "os.link", "os.rename", "os.remove", "os.chmod", "os.rmdir", "os.listdir")
    left = -1
    def swap(event, arguments):
        global left
        if left < 0 or event not in calls:
            return
        left -= 1
        if left < 0:
            found = next(iter(media.glob(swapped)), None)
            if found is not None:
                found.rename(media / "away")
                found.symlink_to(base / "elsewhere")
    sys.addaudithook(swap)
    for number in range(1000):
        media = base / f"media{number}"
        (media / "course").mkdir(parents=True)
        job = Job(id=f"j{number}", sources=(Source(path=media / "a.mp4"),), steps=("encode",),
                  output=media / "course" / "out")
        folder, _ = lifecycle.submit(job, base / "root")
        (folder.out / "encode.1" / "hls").mkdir(parents=True)
        (folder.out / "encode.1" / "hls" / "360p.mp4").write_text("film")
        now = datetime.now(UTC)
        film = Artifact(kind="rendition", path="hls/360p.mp4", media_type="video/mp4", size=4)
        result = StepResult(job=job.id, step="encode", run=1, attempt=1, state=State.SUCCEEDED, host="h",
                            folder="out/encode.1", artifacts=(film,), started_at=now, finished_at=now)
        left = number
        try:
            publish.publish(folder, job, [result], roots=(media,), access=publish.Access(mode=0o666))
            places = {"course": "away/out/hls", "course/out": "away/hls", "course/out/hls": "away"}
            real = [media / "course/out/hls", *([media / places[swapped]] if swapped in places else [])]
            assert any((one / "360p.mp4").exists() and not one.parent.is_symlink() for one in real), (number, "lost")
        except (AmphipodError, OSError):
            pass
        if left >= 0:
            print(number)
            break
        left = -1
        (base / "elsewhere" / "hls").mkdir(exist_ok=True)
        found = sorted(str(path.relative_to(base)) for path in (base / "elsewhere").rglob("*"))
        mode = (base / "elsewhere" / "360p.mp4").stat().st_mode & 0o777
        assert found == ["elsewhere/360p.mp4", "elsewhere/hls", "elsewhere/hls/360p.mp4"], (number, found)
        assert (mode, (base / "elsewhere/hls/360p.mp4").read_text()) == (0o600, "somebody's"), number
"""


@pytest.mark.parametrize("swapped", ["course", "course/out", "course/out/hls", "course/out/.amphipod-*"])
def test_at_whatever_moment_a_folder_is_swapped_nothing_is_put_elsewhere(
    elsewhere: Path, tmp_path: Path, swapped: str
) -> None:
    (elsewhere / "360p.mp4").chmod(0o600)
    (elsewhere / "hls").mkdir()
    (elsewhere / "hls" / "360p.mp4").write_text("somebody's")

    done = subprocess.run(
        [sys.executable, "-c", dedent(PUBLISH_WHILE_SWAPPED), str(tmp_path), swapped], capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 30, "each call was a moment"


class TestJournals:
    """A stage that somebody else has made, for whoever publishes next to complete."""

    @pytest.fixture
    def forge(self, host: Host, submit: Submit, media: Path) -> Callable[..., Path]:
        """Publish once, and leave that job's journal in a stage, changed."""

        def write(**changed: object) -> Path:
            folder = submit(media / "out")
            attempt.run_step(host, folder, "encode")
            lifecycle.finish(host, folder)
            journal = json.loads(folder.publication.read_text())
            stage = media / "out" / str(journal["stage"])
            stage.mkdir()
            false = media / "false"
            false.mkdir()
            text = json.dumps({**journal, "job_folder": str(false), **changed})
            (false / "publish.json").write_text(text)
            (stage / publish.JOURNAL).write_text(text)
            return stage

        return write

    @pytest.mark.parametrize("way", ["of another folder", "by a path that climbs", "by an absolute path", "by a link"])
    def test_it_removes_nothing_elsewhere(
        self, host: Host, forge: Callable[..., Path], media: Path, elsewhere: Path, way: str
    ) -> None:
        if way == "of another folder":
            stage = forge(output=str(elsewhere), remove=["360p.mp4"])
        elif way == "by a path that climbs":
            stage = forge(remove=["../../elsewhere/360p.mp4"])
        elif way == "by an absolute path":
            stage = forge(remove=[str(elsewhere / "360p.mp4")])
        else:
            stage = forge(remove=["link/360p.mp4"])
            (media / "out" / "link").symlink_to(elsewhere)

        publish.complete_interrupted(media / "out", host.settings.jobs_root)

        assert unharmed(elsewhere)
        assert not stage.exists()

    def test_it_puts_nothing_elsewhere(
        self, host: Host, forge: Callable[..., Path], media: Path, elsewhere: Path
    ) -> None:
        file = {"step": "encode", "source": "a", "size": 1, "sha256": "", "modified_at": 0}
        stage = forge(files=[{"name": "../../elsewhere/360p.mp4", **file}])
        (stage.parent.parent / "elsewhere").mkdir()
        (stage.parent.parent / "elsewhere" / "360p.mp4").write_text("forged")

        publish.complete_interrupted(media / "out", host.settings.jobs_root)

        assert unharmed(elsewhere)

    @pytest.mark.parametrize("job", ["known", "nobody"])
    def test_it_removes_nothing_in_its_own_folder_either(
        self, host: Host, forge: Callable[..., Path], media: Path, job: str
    ) -> None:
        stage = forge(remove=["notes.txt"])
        (media / "out" / "notes.txt").write_text("the portal's own")
        if job == "nobody":
            stage = stage.rename(stage.with_name(".amphipod-nobody.abcd"))
            text = (stage / publish.JOURNAL).read_text()
            (stage / publish.JOURNAL).write_text(json.dumps({**json.loads(text), "stage": stage.name}))
            (media / "false" / "publish.json").write_text((stage / publish.JOURNAL).read_text())

        with structlog.testing.capture_logs() as log:
            publish.complete_interrupted(media / "out", host.settings.jobs_root)

        assert (media / "out" / "notes.txt").read_text() == "the portal's own"
        assert not stage.exists()
        aside = media / "out" / f"{publish.ASIDE_PREFIX}nobody.abcd"
        assert aside.exists() == (job == "nobody")
        assert [line["path"] for line in log] == [str(aside if job == "nobody" else stage)]

    def test_one_that_was_completed_is_not_done_again(self, host: Host, submit: Submit, media: Path) -> None:
        folder = submit(media / "out")
        attempt.run_step(host, folder, "encode")
        lifecycle.finish(host, folder)
        stage = media / "out" / str(json.loads(folder.publication.read_text())["stage"])
        stage.mkdir()
        (stage / "360p.mp4").write_text("forged")

        publish.complete_interrupted(media / "out", host.settings.jobs_root)

        assert (media / "out" / "360p.mp4").read_text() == "film"
        assert not stage.exists()
