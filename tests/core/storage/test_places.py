"""Whoever may write in a portal's folder has nothing put or removed outside it, by a link or a journal of their own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

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
