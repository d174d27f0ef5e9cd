"""Esup-Pod's captured messages, played onto a real Redis, end with its files, its callback, and the body it expects."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core import settings as settings_module
from core.callbacks import delivery as callbacks_delivery
from core.model import Manifest
from core.pipeline import in_process
from core.pipeline.planning import Host
from core.plugin_host.manager import Manager
from core.pod.callback_kinds import BUILT_IN as CONTRACTS
from core.pod.celery_messages import take
from core.settings import Settings
from core.storage import deliveries
from core.storage.deliveries import Delivery
from core.storage.job_folder import JobFolder
from core.testing import Subtitles, make_clip

from ..conftest import TOY_ENGINE, InstallPlugin
from ..service.conftest import RedisServer, Start, until
from . import importer
from .conftest import Run, arguments, as_message, captured
from .fake_pod import FakePod, Recording, Video

#: Transcribes without a model; the medium does not matter here.
TOY_STEPS = """
    from core import Segment, Transcript, hookimpl

    @hookimpl
    def transcribe(job, audio, options, context):
        if not audio.exists():
            raise FileNotFoundError(audio)
        said = () if "speechless" in audio.parent.name else (Segment(text="Bonjour à tous.", start=0.5, end=2.0),)
        return Transcript(language=job.language, segments=said)
"""


def path_of(task: str, number: int, media: Path) -> Path:
    """Return where a captured message says that its source is, and make its folder."""
    args, _ = arguments(captured(task)[number])
    path = Path(args[1].replace("/srv/pod/media", str(media)))
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def delivery(settings: Settings, task: str) -> Delivery | None:
    path = settings.jobs_root / "jobs" / f"pod-{task}" / "callbacks" / "1.1.json"
    return Delivery.model_validate_json(path.read_bytes()) if path.exists() else None


def settled(settings: Settings, task: str, within: float = 40) -> Delivery:
    def look() -> Delivery | None:
        found = delivery(settings, task)
        return found if found and found.state != "due" else None

    found: Delivery = until(look, within, f"Pod is told of {task}")
    return found


def manifest(settings: Settings, task: str) -> Manifest:
    return Manifest.model_validate_json(JobFolder(settings.jobs_root, f"pod-{task}").manifest.read_bytes())


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch, install_plugin: InstallPlugin) -> None:
    """The real encoder and studio, at their fastest, and a toy that transcribes."""
    install_plugin("toy_steps", TOY_STEPS)
    monkeypatch.setenv("AMPHIPOD_OPTIONS", json.dumps({"preset": "ultrafast"}))
    monkeypatch.setenv("AMPHIPOD_ENGINES", json.dumps({"transcribe": ["toy_steps"]}))


@pytest.fixture
def served(fast: None, bridge: Run, start: Start) -> None:
    bridge()
    start("encoding", "transcripting", "callbacks")


def make(path: Path, **properties: Any) -> Path:
    return make_clip(path, **({"seconds": 2, "width": 160, "height": 90, "rate": 10} | properties))


#: Line of start_encoding_task.jsonl, its source, and what Pod then has:
#: (is_video, duration, names of videos, has audio, number of tracks, has overview)
ENCODED = {
    "plain": (0, {"seconds": 12}, True, 12, True, 0, True),
    "silent": (1, {"audio": False}, True, 2, False, 0, False),
    "embedded subtitles": (
        3,
        {"subtitles": [Subtitles("fra", [(0.2, 1.5, "Bonjour")], codec="mov_text")]},
        True,
        2,
        True,
        1,
        False,
    ),
    "audio with a cover": (4, {"video": False, "cover": True}, False, 2, True, 0, False),
    "dressed": (5, {}, True, 2, True, 0, False),
    "cut": (6, {"seconds": 12}, True, 7, True, 0, False),
}


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, id=name, marks=[pytest.mark.long] if name in ("dressed", "silent", "cut") else [])
        for name, row in ENCODED.items()
    ],
)
def test_an_encode(
    row: tuple[Any, ...], pod: FakePod, push: Callable[..., str], pod_settings: Settings, media: Path
) -> None:
    number, properties, is_video, duration, has_audio, tracks, has_overview = row
    source = make(path_of("start_encoding_task", number, media), **properties)
    (video_id, *_), kwargs = arguments(captured("start_encoding_task")[number])
    if kwargs["json_dressing"]:
        from PIL import Image

        logo = Path(kwargs["json_dressing"]["watermark_path"].replace("/srv/pod/media", str(media)))
        logo.parent.mkdir(parents=True)
        Image.new("RGBA", (40, 20), (200, 0, 0, 255)).save(logo)
    pod.videos[video_id] = Video()
    task = push("start_encoding_task", number)

    assert settled(pod_settings, task).state == "delivered", delivery(pod_settings, task)
    (call,) = pod.posts
    assert call.path == f"/rest/store_remote_encoded_video/?id={video_id}"
    args, _ = arguments(json.loads(json.dumps(captured("start_encoding_task")[number])))
    assert set(call.body) == {
        *("start", "video_id", "video_path", "cut_start", "cut_end", "stop", "json_dressing", "dressing_input")
    }
    assert (call.body["video_id"], call.body["video_path"], call.body["cut_start"], call.body["cut_end"]) == (
        video_id,
        str(source),
        *args[2:],
    )
    assert time.strptime(call.body["start"]) <= time.strptime(call.body["stop"])
    row_of_pod = pod.videos[video_id].imported
    assert row_of_pod
    assert row_of_pod.is_video is is_video
    assert row_of_pod.duration == duration
    assert row_of_pod.encoded
    assert row_of_pod.thumbnail
    assert len(row_of_pod.tracks) == tracks
    assert bool(row_of_pod.overview and row_of_pod.overview.exists()) is has_overview
    assert ("audio/mp3" in [form for _, form, _ in row_of_pod.audios]) is has_audio
    if is_video:  # 90 lines: below 360, where Pod's own worker makes no master
        assert [(name, form) for name, form, _ in row_of_pod.videos] == [("360p", "video/mp4"), ("360p", "video/mp2t")]
        assert [name for name, _ in row_of_pod.playlists] == ["360p", "playlist"]
    output = source.parent / f"{video_id:04}"
    assert all(file.is_relative_to(output) for _, _, file in [*row_of_pod.videos, *row_of_pod.audios])


@pytest.mark.usefixtures("served")
def test_not_a_video_is_never_told_as_a_success(
    pod: FakePod, push: Callable[..., str], pod_settings: Settings, media: Path
) -> None:
    path_of("start_encoding_task", 2, media).write_text("not a video")
    pod.videos[8] = Video()
    task = push("start_encoding_task", 2)

    found = settled(pod_settings, task)
    assert found.state == "withheld"
    assert "failed" in found.answer
    assert pod.posts == []
    assert "broken.mp4" in (manifest(pod_settings, task).reason or "")


@pytest.mark.usefixtures("served")
class TestStudio:
    @pytest.fixture
    def takes(self, media: Path) -> list[Path]:
        folder = media / "opencast-files" / "studio-1"
        folder.mkdir(parents=True)
        return [
            make(folder / f"{name}.webm", seconds=3, width=320, height=180) for name in ("presenter", "presentation")
        ]

    def test_the_film_is_moved_by_pod(
        self, takes: list[Path], pod: FakePod, push: Callable[..., str], pod_settings: Settings
    ) -> None:
        pod.recordings[2] = Recording()
        task = push("start_studio_task")

        assert settled(pod_settings, task).state == "delivered"
        (call,) = pod.posts
        assert call.path == "/rest/store_remote_encoded_video_studio/?recording_id=2"
        assert call.body["video_output"] == str(takes[0].parent / "studio-1.mp4")
        recording = pod.recordings[2]
        assert recording.moved
        assert recording.moved.stat().st_size > 0
        assert recording.error_mails == 0
        assert "compose" in recording.comment

        def encode_the_film(message: dict[str, Any]) -> None:
            """As Pod does at once: the film is a new video."""
            message["headers"]["id"] = "of-the-film"
            body = [[5, str(recording.moved), 0, 0], {"json_dressing": None, "dressing_input": ""}, {}]
            message["body"] = base64.b64encode(json.dumps(body).encode()).decode()

        pod.videos[5] = Video()
        push("start_encoding_task", change=encode_the_film)
        assert settled(pod_settings, "of-the-film").state == "delivered"
        row = pod.videos[5].imported
        assert row
        assert (row.is_video, row.duration, row.thumbnail is not None) == (True, 2, True)

    def test_a_clear_answer_that_was_lost_is_not_told_twice(
        self, takes: list[Path], pod: FakePod, push: Callable[..., str], pod_settings: Settings
    ) -> None:
        pod.recordings[2] = Recording()
        pod.faults.append("hang up")
        task = push("start_studio_task")

        assert settled(pod_settings, task).state == "delivered"
        assert len(pod.posts) == 1
        assert pod.recordings[2].error_mails == 0

    def test_a_failure_is_told_in_the_words_that_pod_has_for_it(
        self, takes: list[Path], pod: FakePod, push: Callable[..., str], pod_settings: Settings
    ) -> None:
        def use_broken(message: dict[str, Any]) -> None:
            body = base64.b64decode(message["body"]).decode().replace("presenter.webm", "broken.webm")
            message["body"] = base64.b64encode(body.encode()).decode()

        takes[0].with_name("broken.webm").write_text("no film")
        pod.recordings[2] = Recording()
        task = push("start_studio_task", change=use_broken)

        assert settled(pod_settings, task).state == "delivered"
        recording = pod.recordings[2]
        assert recording.moved is None
        assert recording.error_mails == 1
        assert "broken.webm is not a" in recording.comment

    def test_a_recording_that_is_gone(
        self, takes: list[Path], pod: FakePod, push: Callable[..., str], pod_settings: Settings
    ) -> None:
        found = settled(pod_settings, push("start_studio_task"))

        assert (found.state, "1 files of this job removed" in found.answer) == ("given_up", True)
        assert sorted(takes[0].parent.iterdir()) == sorted(takes)


@pytest.mark.usefixtures("served")
class TestTranscription:
    @pytest.fixture
    def audio(self, media: Path) -> Path:
        return make(path_of("start_transcripting_task", 0, media), video=False, seconds=1)

    def test_captions_go_through_pod_s_temp(
        self, audio: Path, pod: FakePod, push: Callable[..., str], pod_settings: Settings, media: Path
    ) -> None:
        pod.videos[3] = Video(step="0: end of transcription queued")
        task = push("start_transcripting_task")

        assert settled(pod_settings, task).state == "delivered"
        (call,) = pod.posts
        assert call.path == "/rest/store_remote_transcripted_video/?id=3"
        assert set(call.body) == {"video_id", "msg", "temp_vtt_file"}
        assert "Bonjour à tous." in pod.videos[3].captions
        assert list((media / "temp").iterdir()) == []

    def test_captions_of_a_video_that_was_deleted_are_removed(
        self, audio: Path, pod: FakePod, push: Callable[..., str], pod_settings: Settings, media: Path
    ) -> None:
        found = settled(pod_settings, push("start_transcripting_task"))

        assert (found.state, "1 files of this job removed" in found.answer) == ("given_up", True)
        assert list((media / "temp").iterdir()) == []

    def test_told_again_with_the_captions_put_back(
        self, audio: Path, pod: FakePod, push: Callable[..., str], pod_settings: Settings, media: Path
    ) -> None:
        pod.videos[3] = Video(step="5: transcripting audio")
        pod.faults += ["500 before", 502]

        def use_up() -> None:
            """Delete the captions with the second call, as one that fails late would."""
            for path in (media / "temp").iterdir() if len(pod.posts) == 1 else ():
                path.unlink()

        pod.on_post = use_up
        task = push("start_transcripting_task")

        assert settled(pod_settings, task).state == "delivered"
        assert len(pod.posts) == 3
        assert "Bonjour" in pod.videos[3].captions

    def test_an_answer_that_was_lost_is_looked_up(
        self, audio: Path, pod: FakePod, push: Callable[..., str], pod_settings: Settings
    ) -> None:
        pod.videos[3] = Video(step="5: transcripting audio")
        pod.faults.append("hang up")
        task = push("start_transcripting_task")

        assert settled(pod_settings, task).state == "delivered"
        assert len(pod.posts) == 1

    def test_nobody_speaks(self, pod: FakePod, push: Callable[..., str], pod_settings: Settings, media: Path) -> None:
        def in_speechless(message: dict[str, Any]) -> None:
            body = base64.b64decode(message["body"]).decode().replace("/0003/", "/speechless/")
            message["body"] = base64.b64encode(body.encode()).decode()

        audio = path_of("start_transcripting_task", 0, media)
        audio.parent.with_name("speechless").mkdir()
        make(audio.parent.with_name("speechless") / audio.name, video=False, seconds=1)
        pod.videos[3] = Video(step="5: transcripting audio")
        task = push("start_transcripting_task", change=in_speechless)

        assert settled(pod_settings, task).state == "delivered"
        assert pod.videos[3].captions == "Output size is 0"


class TestPodSAnswers:
    """Each row of the table of answers in docs/pod.md, on a job whose work a toy does."""

    @pytest.fixture
    def toy(self, pod: FakePod, install_plugin: InstallPlugin, monkeypatch: pytest.MonkeyPatch, media: Path) -> None:
        info = {
            **{f"list_{name}_files": {} for name in ("m4a", "mp3", "mp4", "hls", "subtitle", "overview", "thumbnail")},
            "duration": 12,
        }
        monkeypatch.setenv(
            "AMPHIPOD_OPTIONS",
            json.dumps({"do": {"write_files": {"livestream.m3u8": "#EXTM3U", "info_video.json": json.dumps(info)}}}),
        )
        install_plugin("toy", TOY_ENGINE)
        monkeypatch.setenv("AMPHIPOD_PLUGINS_ONLY", "toy")
        path_of("start_encoding_task", 0, media).write_text("a lecture")
        pod.videos[3] = Video()

    @pytest.fixture
    def done(self, toy: None, pod_settings: Settings, media: Path) -> Callable[..., Delivery]:
        """Do the job and tell Pod, without a queue; `enough` ends it before it is settled."""

        def run(enough: Callable[[Delivery], Any] = lambda found: False, number: str = "", **settings: Any) -> Delivery:
            loaded = settings_module.load(**settings)
            message = captured("start_encoding_task")[0]
            message["headers"]["id"] += number
            take(as_message(message, media), loaded)
            folder = JobFolder(loaded.jobs_root, f"pod-{message['headers']['id']}")
            in_process.run_embedded(Host(loaded, Manager(loaded)), folder)
            (name,) = deliveries.due(folder)
            while True:
                found, wait = callbacks_delivery.attempt(loaded, folder, name, CONTRACTS)
                if wait is None or enough(found):
                    return found
                time.sleep(wait)

        return run

    @pytest.mark.parametrize(
        ("fault", "posts", "imports"),
        [
            (None, 1, 1),
            ("500 before", 2, 1),  # nothing was stored: told again
            ("mail down", 1, 1),  # a 500 after all was stored: a look shows it
            ("broker down", 2, 2),  # stored, its transcription not handed over: the import is run again
            ("hang up", 1, 1),  # the answer was lost
            ("silence", 1, 1),  # no answer in time
            pytest.param(502, 2, 1, marks=pytest.mark.long),
            (503, 2, 1),
            pytest.param(429, 2, 1, marks=pytest.mark.long),
        ],
    )
    def test_told_once_or_as_often_as_the_answer_allows(
        self, fault: Any, posts: int, imports: int, done: Callable[..., Delivery], pod: FakePod
    ) -> None:
        if fault:
            pod.faults.append(fault)

        assert done().state == "delivered"
        assert (len(pod.posts), pod.videos[3].imports) == (posts, imports)
        assert pod.videos[3].imported
        assert pod.videos[3].imported.encoded

    def test_a_video_that_was_deleted_is_final(self, done: Callable[..., Delivery], pod: FakePod) -> None:
        del pod.videos[3]

        found = done()
        assert (found.state, found.tries) == ("given_up", 1)
        assert "gone" in found.answer

    def test_the_files_of_a_video_that_was_deleted_are_removed_and_no_others(
        self, done: Callable[..., Delivery], pod: FakePod, media: Path
    ) -> None:
        source = path_of("start_encoding_task", 0, media)
        output = source.parent / "0003"

        def delete() -> None:
            del pod.videos[3]
            source.unlink()
            (output / "notes.txt").write_text("a person's")
            (output / "info_video.json").write_text("changed by somebody")

        pod.on_post = delete
        found = done()

        assert found.answer.endswith(f"the video is gone; 1 files of this job removed from {output}")
        assert sorted(path.name for path in output.iterdir()) == ["info_video.json", "notes.txt"]

    def test_the_folder_of_a_video_that_was_deleted_goes_when_it_is_empty(
        self, done: Callable[..., Delivery], pod: FakePod, media: Path
    ) -> None:
        source = path_of("start_encoding_task", 0, media)

        def delete() -> None:
            del pod.videos[3]
            source.unlink()

        pod.on_post = delete
        assert "2 files of this job removed" in done().answer
        assert list(source.parent.iterdir()) == []

    def test_another_pod_that_knows_no_such_video_has_nothing_removed(
        self, done: Callable[..., Delivery], pod: FakePod, media: Path
    ) -> None:
        """A Pod deletes the source with the video."""
        del pod.videos[3]

        assert "its source is still there" in done().answer
        assert len(list((path_of("start_encoding_task", 0, media).parent / "0003").iterdir())) == 2

    def test_a_video_that_waits_no_more_is_final(self, done: Callable[..., Delivery], pod: FakePod) -> None:
        pod.videos[3].in_progress = False
        pod.videos[3].step = ""

        found = done()
        assert (found.state, found.tries) == ("given_up", 1)

    @pytest.mark.parametrize(
        ("wrong", "remedy"),
        [
            (lambda pod: setattr(pod, "token", "another"), "POD_API_TOKEN"),
            (lambda pod: setattr(pod, "staff", False), "must be staff"),
        ],
    )
    def test_a_token_that_does_not_do_is_mended_and_then_it_is_told(
        self, wrong: Any, remedy: str, done: Callable[..., Delivery], pod: FakePod, pod_settings: Settings
    ) -> None:
        wrong(pod)

        def mend(found: Delivery) -> bool:
            if found.tries == 2:
                assert remedy in found.answer
                pod.token, pod.staff = "staff-token", True
            return False

        assert done(mend).state == "delivered"
        assert pod.videos[3].imports == 1

    @pytest.mark.parametrize("address", ["rest/../wrong/", "moved/"])
    def test_a_wrong_address_is_mended(self, address: str, done: Callable[..., Delivery], pod: FakePod) -> None:
        if address == "moved/":
            pod.faults.append(301)
        found = done(
            lambda one: one.answer, pod_api_url=pod.url.replace("rest/", address) if address != "moved/" else pod.url
        )

        assert "POD_API_URL" in found.answer

    def test_files_that_vanished_are_put_back_before_pod_looks(
        self, done: Callable[..., Delivery], pod: FakePod, media: Path
    ) -> None:
        output = path_of("start_encoding_task", 0, media).parent / "0003"
        pod.faults += [503, 503]
        pod.on_post = lambda: (output / "livestream.m3u8").unlink() if len(pod.posts) == 1 else None

        assert done().state == "delivered"
        assert pod.videos[3].imported
        assert pod.videos[3].imported.encoded

    def test_files_are_as_the_portal_may_use_them(
        self, done: Callable[..., Delivery], pod: FakePod, media: Path
    ) -> None:
        output = path_of("start_encoding_task", 0, media).parent / "0003"
        done(output_mode="0664", output_group="nogroup" if os.geteuid() == 0 else None)

        assert {path.stat().st_mode & 0o777 for path in output.iterdir()} == {0o664}
        assert output.stat().st_mode & 0o7777 == 0o2775
        if os.geteuid() == 0:
            assert {path.group() for path in [output, *output.iterdir()]} == {"nogroup"}

    def test_a_second_encode_of_a_video_replaces_the_first(self, done: Callable[..., Delivery], pod: FakePod) -> None:
        done()
        pod.videos[3] = Video()

        assert done(number="-2").state == "delivered"
        assert pod.videos[3].imports == 1


@pytest.mark.long
@pytest.mark.usefixtures("fast")
def test_media_below_a_link_keep_the_names_that_pod_gave_them(
    pod: FakePod,
    media: Path,
    bridge: Run,
    start: Start,
    push: Callable[..., str],
    pod_settings: Settings,
    tmp_path: Path,
) -> None:
    """Pod knows its files by the letters of MEDIA_ROOT, which is often a link to a mount."""
    for path in media.iterdir():
        path.unlink()
    media.rmdir()
    (tmp_path / "mount").mkdir()
    media.symlink_to(tmp_path / "mount")
    make(path_of("start_encoding_task", 0, media))
    pod.videos[3] = Video()
    bridge("encoding")
    start("encoding", "callbacks")
    task = push("start_encoding_task")

    assert settled(pod_settings, task).state == "delivered"
    row = pod.videos[3].imported
    assert row
    assert all(file.is_relative_to(media) for _, _, file in row.videos)


def test_importer_of_the_tests_is_as_strict_as_pod_s(tmp_path: Path) -> None:
    """What was seen to be a 500 is one here, so that a green test above says something."""
    info: dict[str, Any] = {
        "duration": 1,
        **{f"list_{name}_files": {} for name in ("m4a", "mp3", "mp4", "hls", "subtitle", "overview", "thumbnail")},
    }

    def load(**changes: Any) -> importer.Imported:
        (tmp_path / "info_video.json").write_text(json.dumps(info | changes))
        return importer.load(tmp_path)

    load()
    for wrong in ({"duration": None}, {"list_mp4_files": {"240": "x"}}, {"list_mp4_files": {"360p": "x"}}):
        with pytest.raises((TypeError, ValueError)):
            load(**wrong)
    del info["list_hls_files"]
    with pytest.raises(KeyError):
        load()


@pytest.mark.long
def test_worker_with_a_bridge(
    pod: FakePod, push: Callable[..., str], redis_server: RedisServer, pod_settings: Settings, tmp_path: Path
) -> None:
    log = tmp_path / "worker.log"
    with log.open("wb") as file:
        command = [sys.executable, "-m", "core.cli", "worker", "xapi", "--bridge"]
        worker = subprocess.Popen(command, stdout=file, stderr=file)
    try:
        until(lambda: "bridge serves" in log.read_text(), what="the bridge serves")
        assert "encoding" not in log.read_text().partition("bridge serves")[2]
    finally:
        worker.terminate()
        assert worker.wait(20) == 0
