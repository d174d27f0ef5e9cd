"""Keeps what this process knows from other processes of the same user: of /proc/PID/environ, and of its memory.

Neither `os.environ.pop` nor unsetenv(3) touches the block that the kernel shows there, which execve(2) has filled. So
the variables move to memory of the C library's own, and the block is overwritten; a fork inherits it so.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from pathlib import Path

_PR_SET_DUMPABLE = 4  # linux/prctl.h

#: Where a process' environment begins and ends, counted from the one after its name: proc(5), /proc/[pid]/stat.
_ENV_START, _ENV_END = 50 - 3, 51 - 3


def seclude() -> None:
    """Hide the environment from everybody, and the memory from all but root; `os.environ` is as before.

    It dumps no core from here on. A program that it starts by execve(2) is as open as any other.
    """
    _wipe()
    # The rest of /proc/PID belongs to root then: ptrace(2), /proc/PID/mem and the open files, memfds too.
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _wipe() -> None:
    for name, value in list(os.environ.items()):
        os.environ[name] = value  # setenv(3) copies it
    with suppress(OSError, IndexError, ValueError):
        fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
        start, end = int(fields[_ENV_START]), int(fields[_ENV_END])
        if 0 < start < end:
            ctypes.memset(start, 0, end - start)
