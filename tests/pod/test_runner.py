"""The runner managers' API, as an Esup-Pod of that generation calls it."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from core.pod.runner_manager.result import pod_name
from core.settings import Settings
from core.testing import make_clip

from ..service.conftest import Start, free_port, until
from .conftest import RUNNER_TOKEN as TOKEN
from .conftest import Portal, task

Api = Callable[..., requests.Response]


@pytest.fixture
def address(service: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("AMPHIPOD_RUNNER_TOKEN", TOKEN)
    monkeypatch.setenv("AMPHIPOD_RUNNER_HOSTS", "127.0.0.1")
    monkeypatch.setenv("AMPHIPOD_CALLBACK_RETRY_SECONDS", "0.2")
    monkeypatch.setenv("AMPHIPOD_OPTIONS", json.dumps({"preset": "ultrafast"}))
    port = free_port()
    server = subprocess.Popen([sys.executable, "-m", "core.cli", "serve", "--port", str(port)])

    def answers() -> bool:
        try:
            return requests.get(f"http://127.0.0.1:{port}/api/health", timeout=1).ok
        except requests.ConnectionError:
            return False

    until(answers, what="the API answers")
    yield f"http://127.0.0.1:{port}"
    server.terminate()
    assert server.wait(10) in (0, -15)


@pytest.fixture
def api(address: str) -> Api:
    def call(method: str, path: str, token: str = TOKEN, **more: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return requests.request(method, f"{address}{path}", headers=headers, timeout=20, **more)

    return call


def test_a_full_cycle(api: Api, portal: Portal, start: Start, tmp_path: Path) -> None:
    make_clip(portal.folder / "lecture.mp4", seconds=3, width=160, height=90, rate=10)
    rendition = {"360": {"resolution": "640x360", "video_bitrate": "750k", "audio_bitrate": "96k", "encode_mp4": True}}
    cut = {"start": "00:00:01", "end": "00:00:02", "initial_duration": "00:00:03"}
    portal.answers.append(500)
    body = task(portal, "lecture.mp4", rendition=json.dumps(rendition), cut=json.dumps(cut), video_id=7)
    answer = api("POST", "/task/execute", json=body).json()
    again = api("POST", "/task/execute", json=body).json()

    assert answer == {"task_id": answer["task_id"], "status": "running", "error_message": ""}
    assert again["task_id"] == answer["task_id"], "the same task while it is not over"
    name = answer["task_id"]
    assert api("GET", f"/task/result/{name}").status_code == 409
    start("encoding", "callbacks")
    until(lambda: len(portal.notified) == 2, 40, "Pod is notified, and again after its 500")

    assert portal.notified[1] == (
        f"Bearer {TOKEN}",
        {
            "task_id": name,
            "status": "completed",
            "script_output": portal.notified[1][1]["script_output"],
            "error_message": "",
        },
    )
    assert api("GET", f"/task/status/{name}").json()["status"] == "completed"
    result = api("GET", f"/task/result/{name}").json()
    fetched = {}
    for file in result["files"]:
        content = api("GET", f"/task/result/{name}/file/{file['file_path']}").content
        assert hashlib.sha256(content).hexdigest() == file["sha256"]
        fetched[file["file_path"]] = content
    info = json.loads(fetched["info_video.json"])
    assert info["duration"] == 1
    assert (info["has_stream_video"], info["has_stream_audio"], info["has_stream_thumbnail"]) == (True, True, True)
    assert {"encoding_format": "video/mp2t", "rendition": "640x360", "filename": "360p.m3u8"} in info["encode_video"]
    assert {"encoding_format": "video/mp4", "rendition": "640x360", "filename": "360p.mp4"} in info["encode_video"]
    assert info["encode_audio"] == [{"encoding_format": "audio/mp3", "filename": "audio_192k.mp3"}]
    named = [one["filename"] for kind in ("encode_video", "encode_audio", "encode_thumbnail") for one in info[kind]]
    assert not set(named) - set(fetched)
    assert "livestream.m3u8" not in fetched, "Pod writes its own"
    once_more = api("POST", "/task/execute", json=body).json()
    assert once_more["task_id"] != name, "a video may be encoded again"


def test_a_source_that_is_not_there_fails_and_pod_is_told_why(api: Api, portal: Portal, start: Start) -> None:
    name = api("POST", "/task/execute", json=task(portal, "nothing.mp4")).json()["task_id"]
    start("encoding", "callbacks")
    until(lambda: portal.notified, 30, "Pod is notified")

    assert portal.notified[0][1]["status"] == "failed"
    assert "404" in portal.notified[0][1]["error_message"]
    assert "404" in api("GET", f"/task/status/{name}").json()["error_message"]


def test_who_may_ask_and_what_else(api: Api, portal: Portal, service: Settings) -> None:
    for token in ("", "wrong"):
        assert api("POST", "/task/execute", token=token, json=task(portal, "lecture.mp4")).status_code == 401
        assert api("GET", f"/task/status/run-{'0' * 32}", token=token).status_code == 401
    name = api("POST", "/task/execute", json=task(portal, "lecture.mp4")).json()["task_id"]
    assert api("POST", f"/task/stop/{name}").json()["status"] == "failed"

    # A studio's takes come from its mediapackage.
    (portal.folder / "package.xml").write_text(
        f"""<mediapackage xmlns="http://mediapackage.opencastproject.org"><media>
        <track type="presenter/source"><url>{portal.url}/presenter.webm</url></track>
        <track type="presentation/source"><url>{portal.url}/presentation.webm</url></track></media></mediapackage>"""
    )
    name = api("POST", "/task/execute", json=task(portal, "package.xml", "studio", presenter="piph")).json()["task_id"]
    request = json.loads((service.jobs_root / "jobs" / name / "request.json").read_text())
    assert request["steps"] == ["compose", "encode"]
    assert [source["role"] for source in request["sources"]] == ["presenter", "presentation"]
    assert request["options"] == {"layout": "piph"}


def test_only_the_hosts_that_are_allowed(portal: Portal, service: Settings) -> None:
    from core.errors import BadCall
    from core.pod.runner_manager.tasks import RunnerTask, job_of

    allowed = service.model_copy(update={"runner_hosts": ("pod.univ.fr",)})
    with pytest.raises(BadCall, match="AMPHIPOD_RUNNER_HOSTS"):
        job_of(RunnerTask(**task(portal, "lecture.mp4")), allowed)


@pytest.mark.parametrize(
    ("name", "pods"),
    [
        ("360p.mp4", "360p.mp4"),
        ("1080p.m3u8", "1080p.m3u8"),
        ("2160p.mp4", "1080p_2160p.mp4"),
        ("1440p.ts", "1080p_1440p.ts"),
        ("240p.mp4", "360p_240p.mp4"),
        ("audio_192k.mp3", "audio_192k.mp3"),
    ],
)
def test_names_that_pod_does_not_mislabel(name: str, pods: str) -> None:
    assert pod_name(name) == pods


@pytest.mark.long
def test_the_api_keeps_its_word(address: str) -> None:
    """Schemathesis: no call that fits the description, and none that doesn't, gets an answer that it does not name."""
    tool = shutil.which("st", path=str(Path(sys.executable).parent))
    if tool is None:
        pytest.skip("schemathesis is not installed")
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    command = [tool, "run", f"{address}/openapi.json", "-H", f"Authorization: Bearer {TOKEN}", "--checks", checks]
    ours = ["--include-path-regex", "^/task/", "--max-examples", "8", "--seed", "1"]  # tests/web has the others
    done = subprocess.run([*command, *ours], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-6000:]


def test_a_task_keeps_its_caller_s_correlation_id_and_is_lost_for_none(
    address: str, portal: Portal, service: Settings
) -> None:
    def send(name: str, correlation: str) -> str | None:
        headers = {"Authorization": f"Bearer {TOKEN}", "X-Correlation-ID": correlation}
        answer = requests.post(f"{address}/task/execute", json=task(portal, name), headers=headers, timeout=20)
        request = service.jobs_root / "jobs" / answer.json()["task_id"] / "request.json"
        kept: str | None = json.loads(request.read_text()).get("correlation_id")
        return kept

    assert send("a.mp4", "req-7") == "req-7"
    assert send("b.mp4", "no id at all") is None
