"""Tells running steps that their worker is about to stop, so that they hand their job back."""

from __future__ import annotations

import threading

from dramatiq import Broker, Worker
from dramatiq.middleware import Middleware


class HandBack(BaseException):
    """The worker stops: end the attempt as if it had never begun. No `except Exception` may eat it."""


class Shutdown(Middleware):
    def __init__(self) -> None:
        self._stopping = threading.Event()

    def before_worker_shutdown(self, _broker: Broker, _worker: Worker) -> None:
        self._stopping.set()

    @property
    def is_stopping(self) -> bool:
        return self._stopping.is_set()

    def check(self) -> None:
        """Raise `HandBack` if the worker stops."""
        if self._stopping.is_set():
            raise HandBack

    def wait(self, seconds: float) -> bool:
        """Sleep, but no longer than until the worker stops. Returns whether it does."""
        return self._stopping.wait(seconds)
