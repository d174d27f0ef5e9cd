"""What of a settings_local.py becomes whose setting; nothing in it is executed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from core import settings

SETTINGS_LOCAL = '''
"""Django local settings."""
import os
from pathlib import Path

open("executed", "w").close()
BASE_DIR = os.path.dirname(os.path.abspath(__file__))
SECRET_KEY = "never to be copied"
MEDIA_ROOT = "/srv/pod/media"
USE_REMOTE_ENCODING_TRANSCODING = True
ENCODING_TRANSCODING_CELERY_BROKER_URL = "redis://:secret@redis.univ.fr:6379/5"
XAPI_CELERY_BROKER_URL = "redis://redis.univ.fr:6379/6"
POD_API_URL = "https://pod.univ.fr/rest/"
POD_API_TOKEN = "abc\\"def"
FFMPEG_CRF = 23
FFMPEG_PRESET = "medium"
FFMPEG_NB_THREADS = 4
FFMPEG_MP4_ENCODE = "%(cut)s -map 0:v:0 -c:v %(libx)s"
FFMPEG_LEVEL = 3
VIDEO_RENDITIONS = [
    {"resolution": "640x360", "minrate": "500k", "video_bitrate": "750k", "maxrate": "1000k", "audio_bitrate": "96k",
     "encoding_resolution_threshold": 0, "encode_mp4": True, "sites": [1]},
    {"resolution": "1920x1080", "minrate": "2M", "video_bitrate": "3M", "maxrate": "4.5M", "audio_bitrate": "192k",
     "encoding_resolution_threshold": 0, "encode_mp4": False, "sites": [1]},
]
TRANSCRIPTION_TYPE = "WHISPER"
TRANSCRIPTION_MODEL_PARAM = {"WHISPER": {"fr": {"model": "small", "download_root": "/srv/models"}}, "VOSK": {}}
TRANSCRIPTION_NORMALIZE = True
XAPI_LRS_URL = os.environ["LRS"]
XAPI_LRS_LOGIN = ""
XAPI_ANONYMIZE_ACTOR = True
'''


@pytest.fixture
def imported(tmp_path: Path) -> dict[str, dict[str, str]]:
    (tmp_path / "settings_local.py").write_text(SETTINGS_LOCAL)
    command = [
        sys.executable,
        "-m",
        "core.cli",
        "pod",
        "import-settings",
        str(tmp_path / "settings_local.py"),
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    found: dict[str, dict[str, str]] = json.loads(done.stdout)
    return found


def test_what_is_used(imported: dict[str, dict[str, str]], tmp_path: Path) -> None:
    found = settings.load(tmp_path / "amphipod.toml")

    assert found.media_roots == (Path("/srv/pod/media"),)
    assert found.pod_broker_url == found.broker_url == "redis://:secret@redis.univ.fr:6379/5"
    assert found.pod_xapi_broker_url == "redis://redis.univ.fr:6379/6"
    assert found.pod_api_url == "https://pod.univ.fr/rest/"
    assert found.pod_api_token
    assert found.pod_api_token.get_secret_value() == 'abc"def'
    assert (found.options["crf"], found.options["preset"], found.threads) == (23, "medium", 4)
    assert [(one["height"], one["max_rate"], one["mp4"]) for one in found.options["renditions"]] == [
        (360, 1_000_000, True),
        (1080, 4_500_000, False),
    ]
    assert found.options["models"] == {"WHISPER": {"fr": {"model": "small", "download_root": "/srv/models"}}}
    assert found.options["normalize"] is True
    assert found.jobs_root == Path("/srv/amphipod")


def test_people_that_esup_pod_has_hidden_are_not_hidden_again(
    imported: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    assert "anonymize_actor" not in settings.load(tmp_path / "amphipod.toml").plugin.get("xapi", {})
    assert "before it sends" in imported["ignored"]["XAPI_ANONYMIZE_ACTOR"]


def test_the_folder_of_jobs_is_said_to_be_shared(tmp_path: Path) -> None:
    (tmp_path / "settings_local.py").write_text("MEDIA_ROOT = '/srv/pod/media'")
    command = [sys.executable, "-m", "core.cli", "pod", "import-settings", str(tmp_path / "settings_local.py")]
    said = subprocess.run(
        [*command, "--jobs-root", "/mnt/jobs"], capture_output=True, text=True, check=True, cwd=tmp_path
    )

    assert "jobs_root is /mnt/jobs: mount that folder on every host" in said.stdout
    assert "# One folder for all hosts" in (tmp_path / "amphipod.toml").read_text()
    assert settings.load(tmp_path / "amphipod.toml").jobs_root == Path("/mnt/jobs")


def test_what_is_not_and_why(imported: dict[str, dict[str, str]]) -> None:
    ignored = imported["ignored"]

    assert "ffmpeg command" in ignored["FFMPEG_MP4_ENCODE"]
    assert "size and rate" in ignored["FFMPEG_LEVEL"]
    assert "by hand" in ignored["XAPI_LRS_URL"]
    assert ignored["XAPI_LRS_LOGIN"] == "empty"
    assert "SECRET_KEY" not in imported["used"] | ignored


def test_nothing_is_executed_and_the_file_is_its_owner_s(imported: dict[str, dict[str, str]], tmp_path: Path) -> None:
    assert not (tmp_path / "executed").exists()
    assert (tmp_path / "amphipod.toml").stat().st_mode & 0o777 == 0o600
    assert "never to be copied" not in (tmp_path / "amphipod.toml").read_text()


@pytest.mark.parametrize(
    ("text", "words"),
    [("MEDIA_ROOT = '/a", "not Python"), ("FFMPEG_NB_THREADS = -2", "must be 0 or more (it is -2)")],
)
def test_a_file_that_does_not_do_is_one_line(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "settings_local.py").write_text(text)
    command = [sys.executable, "-m", "core.cli", "pod", "import-settings", str(tmp_path / "settings_local.py")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)

    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "amphipod.toml").exists()
