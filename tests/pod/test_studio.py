"""A studio's film has each take where Esup-Pod has it, whichever came first and whoever asked for it: by its pixels."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

import plugins.encode
from core.errors import BadCall
from core.model import Job
from core.pod import celery_tasks
from core.pod.celery_messages import take
from core.pod.runner_manager.tasks import RunnerTask, job_of
from core.settings import Settings
from core.storage.job_folder import JobFolder
from core.testing import fake_context, frame_number, make_clip

from .conftest import Portal, as_message, captured, change_body, task

#: At second 1 the camera's picture is number 20, the screen's number 10.
CAMERA = {"width": 480, "height": 360, "rate": 20}
SCREEN = {"width": 640, "height": 360, "rate": 10, "audio": False}

#: Where Esup-Pod has presenter and presentation (encoding_studio.py, get_sub_cmd).
PLACES = {
    "mid": {20: (640, 0, 1120, 360), 10: (0, 0, 640, 360)},
    "piph": {20: (510, 10, 630, 100), 10: (0, 0, 640, 360)},
    "pipb": {20: (510, 260, 630, 350), 10: (0, 0, 640, 360)},
}

CASES = list(itertools.product(PLACES, ("presenter first", "presentation first")))

Asked = Callable[..., Job]


@pytest.fixture(scope="module")
def takes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("takes")
    return {
        "presenter": make_clip(folder / "presenter.webm", seconds=1.5, **CAMERA),  # type: ignore[arg-type]
        "presentation": make_clip(folder / "presentation.webm", seconds=1.5, **SCREEN),  # type: ignore[arg-type]
    }


@pytest.fixture
def by_message(pod_settings: Settings, media: Path, takes: dict[str, Path]) -> Asked:
    """A job of the bridge, its takes in place."""

    def ask(layout: str, roles: list[str]) -> Job:
        message = captured("start_studio_task")[0]
        tracks = [{"type": f"{role}/source", "src": str(media / f"{role}.webm")} for role in roles]

        def change(args: list[Any], _kwargs: dict[str, Any]) -> None:
            args[2:] = tracks, "", layout

        change_body(message, change)
        assert take(as_message(message, media), pod_settings)
        for role in takes:
            shutil.copy(takes[role], media / f"{role}.webm")
        return JobFolder(pod_settings.jobs_root, f"pod-{message['headers']['id']}").job()

    return ask


PACKAGE = """<mediapackage presenter="{layout}" xmlns="http://mediapackage.opencastproject.org"><media>{tracks}</media>
<metadata><catalog type="smil/cutting"><url>{url}/cut.smil</url></catalog></metadata></mediapackage>"""

CUT = '<smil><body><par><video clipBegin="0.5s" clipEnd="00:00:01.4"/></par></body></smil>'


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(jobs_root=tmp_path / "root", runner_hosts=("127.0.0.1",))


@pytest.fixture
def by_runner(settings: Settings, portal: Portal, takes: dict[str, Path]) -> Asked:
    """A job of the runner managers' API, its takes fetched."""

    def ask(layout: str, roles: list[str], **parameters: str) -> Job:
        tracks = [f'<track type="{role}/source"><url>{portal.url}/{role}.webm</url></track>' for role in roles]
        package = PACKAGE.format(layout=layout, tracks="".join(tracks), url=portal.url)
        (portal.folder / "package.xml").write_text(package)
        job = job_of(RunnerTask(**task(portal, "package.xml", "studio", **parameters)), settings)
        for download in job.downloads:
            download.path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(takes[download.path.stem.partition("-")[2]], download.path)
        return job

    return ask


def picture(job: Job, folder: Path, second: float = 1.0) -> Image.Image:
    """Compose the job's film, and return what it shows at a second."""
    context = fake_context(folder)
    output = plugins.encode.plugin.compose(job, job.sources, dict(job.options), context)
    assert output is not None
    with av.open(str(context.output / output.artifacts[0].path)) as film:
        frames = list(film.decode(video=0))
    shown: Image.Image = frames[round(second * 20)].to_image()  # type: ignore[no-untyped-call]
    return shown


def roles_in(order: str) -> list[str]:
    first = order.partition(" ")[0]
    return sorted(("presenter", "presentation"), key=lambda role: role != first)


def numbers(image: Image.Image, layout: str) -> list[int]:
    return [frame_number(image.crop(place)) for place in PLACES[layout].values()]


@pytest.mark.parametrize(("layout", "order"), CASES)
def test_by_the_bridge(by_message: Asked, tmp_path: Path, layout: str, order: str) -> None:
    image = picture(by_message(layout, roles_in(order)), tmp_path / "job")

    assert numbers(image, layout) == pytest.approx([20, 10], abs=1)


@pytest.mark.parametrize(("layout", "order"), CASES)
def test_by_the_runner_managers_api(by_runner: Asked, portal: Portal, tmp_path: Path, layout: str, order: str) -> None:
    (portal.folder / "cut.smil").write_text(CUT)
    image = picture(by_runner(layout, roles_in(order)), tmp_path / "job", second=0.5)  # the cut begins there

    assert numbers(image, layout) == pytest.approx([20, 10], abs=1)


def test_the_mediapackage_says_layout_and_cut_and_the_task_may_say_another(
    by_runner: Asked,
    portal: Portal,
) -> None:
    (portal.folder / "cut.smil").write_text(CUT)

    assert by_runner("pipb", ["presenter"]).options == {"layout": "pipb", "clip_start": 0.5, "clip_end": 1.4}
    assert by_runner("pipb", ["presenter"], presenter="piph").options["layout"] == "piph"
    assert by_runner("Prof. Dupont", ["presenter"]).options["layout"] == "mid", "as Esup-Pod takes it"
    (portal.folder / "cut.smil").unlink()
    assert by_runner("mid", ["presenter"]).options == {"layout": "mid"}, "whole, where its cut is gone"


def test_a_take_on_a_host_that_is_not_allowed_is_refused(settings: Settings, portal: Portal) -> None:
    track = '<track type="presenter/source"><url>http://elsewhere/a.webm</url></track>'
    (portal.folder / "package.xml").write_text(f"<mediapackage>{track}</mediapackage>")
    with pytest.raises(BadCall, match="host elsewhere is not allowed"):
        job_of(RunnerTask(**task(portal, "package.xml", "studio")), settings)


def test_of_each_role_the_last_track_counts_and_others_do_not(by_message: Asked, media: Path) -> None:
    job = by_message("mid", ["presenter", "preview", "presenter"])

    assert [(source.role, source.path) for source in job.sources] == [("presenter", media / "presenter.webm")]


@pytest.mark.parametrize("subtime", ["-ss " + "9" * 400, "-to 99999999", "-ss 1.2.3"])
def test_a_clip_that_no_recording_can_have_is_refused(subtime: str) -> None:
    with pytest.raises((BadCall, ValueError)):
        celery_tasks._clip(subtime)
