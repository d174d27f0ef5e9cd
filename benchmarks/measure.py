"""What a command costs: processor seconds of it and all that it starts, and the memory they hold together."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

#: Looks a second at the memory.
_RATE = 10

Command = Sequence[str]


@dataclass(frozen=True)
class Cost:
    """Seconds and bytes."""

    cpu: float = 0.0
    wall: float = 0.0
    #: Most that the process tree held at once (PSS: a page that n processes share counts 1/n in each).
    memory: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.cpu + other.cpu, self.wall + other.wall, max(self.memory, other.memory))


def run_all(commands: Iterable[Command], folder: Path) -> Cost:
    """Run one command after the other; memory is the most that any of them held."""
    return sum((run(command, folder) for command in commands), Cost())


def run(command: Command, folder: Path) -> Cost:
    """Run a command in a folder to its end; it must succeed."""
    with tempfile.TemporaryFile() as complaints:
        begin = time.monotonic()
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=complaints
        )
        memory = _Memory(process.pid)
        memory.start()
        # The usage of a process that was waited for includes that of the children that it has waited for itself.
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        memory.stop()
        if process.returncode:
            complaints.seek(0)
            raise subprocess.CalledProcessError(process.returncode, command, stderr=complaints.read().decode())
    return Cost(usage.ru_utime + usage.ru_stime, wall, memory.peak)


class _Memory(threading.Thread):
    """Looks at the memory of a process and its descendants until it is stopped."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._stopped = threading.Event()
        self.peak = 0

    def run(self) -> None:
        while not self._stopped.wait(1 / _RATE):
            self.peak = max(self.peak, sum(map(_pss, _family(self._pid))))

    def stop(self) -> None:
        self._stopped.set()
        self.join()


def _family(pid: int) -> Iterator[int]:
    yield pid
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _family(int(child))


def _pss(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
