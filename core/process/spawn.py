"""Child processes: started, sent a line, ended; and the one that is kept for the next job.

A kept child has done a step with success whose `StepSpec` says so. A host keeps one, until it has been idle for
`keep_seconds` or has grown past `keep_memory_limit`.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from core.model import Access
from core.settings import PREFIX, Settings, plugin_prefixes, plugin_settings, secret_files
from core.storage import inputs

#: Seconds that a child may take to exit once it has answered.
_EXIT_GRACE = 10.0

#: Environment that programs need; tokens and passwords stay out of a process that opens strangers' media.
_ENVIRONMENT = (
    *("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "XDG_CACHE_HOME", "XDG_DATA_HOME"),
    *("PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH"),
    *("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"),
)


@dataclass(frozen=True)
class Key:
    """What a child was started with, and can't be changed in it: a job that needs another gets another child."""

    settings: Settings
    environment: Mapping[str, str]
    access: Access
    #: Files that the options name: weights, say. What it was not shown at first stays shut to it.
    files: frozenset[Path]

    @classmethod
    def of(cls, settings: Settings, access: Access, options: Mapping[str, Any]) -> Key:
        return cls(settings, child_environment(settings, access.settings), access, frozenset(inputs.named(options)))


@dataclass
class Child:
    """A process of child.py."""

    process: subprocess.Popen[bytes]
    reader: int
    key: Key
    #: Open file of the lock that says that this host keeps a child; None where it has the lock, or needs none.
    lock: int | None = None
    idle_since: float = 0.0
    buffer: bytes = b""

    def send(self, line: str) -> None:
        with contextlib.suppress(BrokenPipeError):
            assert self.process.stdin is not None
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()

    def wait(self) -> int:
        try:
            return self.process.wait(_EXIT_GRACE)
        except subprocess.TimeoutExpired:
            return self._kill()

    def end(self) -> None:
        """Kill what is left of it and let go of it; once."""
        self._kill()
        if self.process.stdin:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
        os.close(self.reader)
        if self.lock is not None:
            os.close(self.lock)

    def _kill(self) -> int:
        """Kill its process group, itself included, and reap it."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.wait()

    @property
    def memory(self) -> int:
        """Bytes of its memory that are in use; proc(5), /proc/[pid]/statm."""
        try:
            pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        except (FileNotFoundError, ProcessLookupError):
            return 0
        return pages * os.sysconf("SC_PAGE_SIZE")


class Keeper:
    """Keeps one idle child of this host until the next job, so that its model needn't be loaded again."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._child: Child | None = None

    def take(self, key: Key) -> Child | None:
        """Return the kept child if it can be used, and end one that can't."""
        with self._mutex:
            child, self._child = self._child, None
        if child is None:
            return None
        idle = time.monotonic() - child.idle_since
        if child.process.poll() is None and idle < key.settings.keep_seconds and child.key == key:
            return child
        child.end()
        return None

    def put(self, child: Child) -> None:
        """Keep a child that has answered, unless it has grown too large or this host keeps one already."""
        settings = child.key.settings
        limit = settings.keep_memory_limit or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
        child.idle_since = time.monotonic()
        with self._mutex:
            if settings.keep_seconds and not self._child and child.memory <= limit and _lock(child):
                self._child = child
                return
        child.end()

    def end(self) -> None:
        with self._mutex:
            child, self._child = self._child, None
        if child:
            child.end()


def _lock(child: Child) -> bool:
    """Take the host's one place for a kept child, which holds it from then on: its death frees it."""
    if child.lock is None:
        return True
    try:
        fcntl.flock(child.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    os.close(child.lock)
    child.lock = None
    return True


keeper = Keeper()
atexit.register(keeper.end)


def start(key: Key, complaints: Path, *, kept: bool) -> Child:
    """Start a child, maybe to be kept; what it prints goes to `complaints`."""
    reader, writer = os.pipe()
    lock = None
    try:
        if kept:
            run_dir = key.settings.run_dir
            run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(run_dir / "child.kept", os.O_RDWR | os.O_CREAT, 0o600)
        process = _spawner().submit(_spawn, key, writer, lock, complaints).result()
    except BaseException:
        os.close(reader)
        if lock is not None:
            os.close(lock)
        raise
    finally:
        os.close(writer)
    return Child(process, reader, key, lock)


def _spawn(key: Key, writer: int, lock: int | None, complaints: Path) -> subprocess.Popen[bytes]:
    with complaints.open("wb") as stderr:
        return subprocess.Popen(
            # -P: the folder we are started from must not shadow `core` or `plugins`.
            [sys.executable, "-P", "-m", "core.process.child", str(writer)],
            stdin=subprocess.PIPE,
            stdout=stderr,
            stderr=stderr,
            pass_fds=(writer,) if lock is None else (writer, lock),
            start_new_session=True,
            env=dict(key.environment),
        )


def child_environment(settings: Settings, also: Iterable[str] = ()) -> dict[str, str]:
    """Return what a child sees of our environment: what programs need, and what plugins read there by themselves.

    The settings, those that plugins declare among them, reach it in the request, less what it has no use for. Other
    variables of ours are those of plugins that may be loaded here, and that read them without a word to anybody.

    :param also: plugins whose settings are read though they may not be loaded.
    """
    ours = {PREFIX + name.upper() for name in Settings.model_fields}
    ours |= {plugin_settings.variable(plugin, field) for plugin, own in settings.plugin.items() for field in own}
    ours |= {name + secret_files.SUFFIX for name in ours}
    theirs = tuple(PREFIX + prefix.upper() for prefix in _loaded(settings) | {f"{name}_" for name in also})
    return {
        name: value
        for name, value in os.environ.items()
        if name in _ENVIRONMENT or (name.startswith(theirs) and name not in ours)
    }


def _loaded(settings: Settings) -> set[str]:
    """Return how the settings of those plugins begin that the settings don't leave out."""
    installed = {
        prefix
        for prefix, name in plugin_prefixes().items()
        if name not in settings.plugins_blocked and (not settings.plugins_only or name in settings.plugins_only)
    }
    return installed | {f"{name.replace('-', '_')}_" for name in settings.plugin}


@cache
def _spawner() -> ThreadPoolExecutor:
    """One thread, alive as long as this process, starts all children: PDEATHSIG follows the thread, not the process."""
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")
