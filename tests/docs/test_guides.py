"""README, tutorial and guides from top to bottom, as a reader follows them: each command is run, and ends well.

What can't be run is in test_commands.py, with the reason. /srv and /opt are folders of the test's, the film is
the demo's lecture, and what whisper knows are its sentences; all else is as written.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import GUIDES, ROOT, named, prompted
from .test_commands import NOT_RUN

CHECKPOINT = ROOT / "tests/data/micro-whisper.pt.gz"

FILMS = ("lecture.mp4", "urgent.mp4", "archive.mp4", "srv/pod/media/test.mp4")

#: Of several hosts; the others are followed on one, without a queue.
WITH_QUEUE = ("install", "nfs", "scale")

#: Go on until they are ended.
LASTING = re.compile(r"amphipod (worker|serve|bridge)\b")


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["--port", str(port), "--bind", "127.0.0.1", "--appendonly", "yes", "--maxmemory-policy", "noeviction"]
    server = subprocess.Popen(["redis-server", *options, "--dir", str(tmp_path)], stdout=subprocess.DEVNULL)
    yield f"redis://127.0.0.1:{port}"
    server.terminate()
    server.wait(30)


@pytest.mark.long
@pytest.mark.parametrize("page", GUIDES, ids=named)
def test_a_reader_gets_to_the_end(page: Path, tmp_path: Path, redis_url: str) -> None:
    folder = tmp_path / "reader"
    (folder / "srv/pod/media").mkdir(parents=True)
    for film in FILMS:
        shutil.copy(ROOT / "examples/demo/lecture.mp4", folder / film)
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(folder),
        "AMPHIPOD_JOBS_ROOT": str(folder / "srv/amphipod"),
        "AMPHIPOD_MEDIA_ROOTS": str(folder),
        "AMPHIPOD_RUN_DIR": str(folder / "run"),
        "AMPHIPOD_OPTIONS": json.dumps({"preset": "ultrafast"}),
        "AMPHIPOD_TRANSCRIPT_MODELS": json.dumps({"auto": {"model": str(CHECKPOINT)}}),
    }
    if page.stem in WITH_QUEUE:
        environment |= {
            "AMPHIPOD_BROKER_URL": f"{redis_url}/0",
            "ENCODING_TRANSCODING_CELERY_BROKER_URL": f"{redis_url}/5",
            "MEDIA_ROOT": str(folder / "srv/pod/media"),
        }
    lasting = []
    for line in prompted(page.read_text(encoding="utf-8")):
        if line.startswith(tuple(NOT_RUN)):
            continue
        command = re.sub(r"\S*/bin/(?=amphipod)", "", line).replace(" /srv/", f" {folder}/srv/")
        command = command.replace("amphipod serve", "amphipod serve --port 0")
        if LASTING.search(command):
            process = subprocess.Popen(["/bin/sh", "-c", f"exec env {command}"], cwd=folder, env=environment)
            lasting.append((command, process))
            time.sleep(5)
        else:
            done = subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True)
            assert done.returncode == 0, (command, done.stdout, done.stderr)
    ended = [(command, process.poll()) for command, process in lasting if process.poll() is not None]
    for _, process in lasting:
        process.terminate()
    for _, process in lasting:
        process.wait(120)
    assert ended == []
