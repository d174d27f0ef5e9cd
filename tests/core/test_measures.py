"""The folder of what is counted: whoever was killed leaves it, and the next one removes it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

CODE = "import sys; from core import measures; measures.collecting(); print(flush=True); sys.stdin.read()"


def begin(folder: Path) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PROMETHEUS_MULTIPROC_DIR"}
    process = subprocess.Popen(
        [sys.executable, "-c", CODE],
        env=environment | {"TMPDIR": str(folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    process.stdout.readline()
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.communicate(timeout=20)


def left(folder: Path) -> list[Path]:
    return list(folder.glob("amphipod-metrics-*"))


def test_what_a_killed_process_has_left_goes_and_what_a_living_one_needs_stays(tmp_path: Path) -> None:
    living, killed = begin(tmp_path), begin(tmp_path)
    killed.send_signal(signal.SIGKILL)
    end(killed)
    assert len(left(tmp_path)) == 2

    end(begin(tmp_path))

    assert len(left(tmp_path)) == 1
    end(living)
    assert left(tmp_path) == []
