"""Keeps what plugins print out of this process' standard output, which holds a command's answer."""

from __future__ import annotations

import sys
import threading
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TextIO


class _Aside(AbstractContextManager[None]):
    """Replaces sys.stdout while any thread is inside; blocks may nest."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._stdout: TextIO | None = None

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._stdout, sys.stdout = sys.stdout, sys.stderr
            self._inside += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and self._stdout is not None:
                sys.stdout, self._stdout = self._stdout, None


#: What is printed within goes to standard error.
on_stderr = _Aside()
