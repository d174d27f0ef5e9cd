"""Ralph's real record store as a server of our own, and a proxy in front of it that can cut its answers."""

from __future__ import annotations

import json
import os
import socket
import socketserver
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

#: Ralph's store wants older libraries than ours: `make install` gives it an environment of its own.
PYTHON = str(Path(__file__).parents[1] / ".venv" / "lrs" / "bin" / "python")

LOGIN, PASSWORD = "ralph", "s3cret-of-the-store"

# ralph-malph 5.1.0's file system backend creates its file anew for each request, and so refuses the second one. And it
# rewrites a history of all requests at each, which costs more than the request, and which a kill leaves in half.
_START = """
import sys, uvicorn
from ralph.backends.data.base import BaseOperationType
from ralph.backends.lrs.fs import FSLRSBackend
FSLRSBackend.default_operation_type = BaseOperationType.APPEND
FSLRSBackend.append_to_history = lambda self, event: None
from ralph.api import app
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class RecordStoreServer:
    """A store that can be stopped and started again on the same files."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/xAPI/statements"

    @property
    def _environment(self) -> dict[str, str]:
        return os.environ | {
            "RALPH_APP_DIR": str(self.folder / "app"),
            "RALPH_RUNSERVER_BACKEND": "fs",
            "RALPH_RUNSERVER_AUTH_BACKENDS": "basic",
            "RALPH_BACKENDS__LRS__FS__DEFAULT_DIRECTORY_PATH": str(self.folder / "data"),
        }

    def prepare(self) -> None:
        for name in ("app", "data/test"):
            (self.folder / name).mkdir(parents=True)
        account = [
            "-u",
            LOGIN,
            "-p",
            PASSWORD,
            "-s",
            "all",
            "-t",
            "test",
            "-M",
            "mailto:lrs@univ.fr",
            "-N",
            "lrs",
            "-w",
        ]
        command = [PYTHON, "-m", "ralph", "auth", *account]
        subprocess.run(command, env=self._environment, check=True, capture_output=True)

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            command = [PYTHON, "-c", _START, str(self.port)]
            self.process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)
        end = time.monotonic() + 30
        while not self._answers():
            if time.monotonic() > end or self.process.poll() is not None:
                raise AssertionError((self.folder / "log").read_text())
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            return requests.get(f"http://127.0.0.1:{self.port}/__heartbeat__", timeout=5).status_code > 0
        except requests.ConnectionError:
            return False

    def stop(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait()

    def empty(self) -> None:
        (self.folder / "data" / "test" / "fs_lrs.jsonl").unlink(missing_ok=True)

    def stored(self) -> list[dict[str, Any]]:
        """Return what the store has, in the order in which it came."""
        path = self.folder / "data" / "test" / "fs_lrs.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def count(self) -> int:
        path = self.folder / "data" / "test" / "fs_lrs.jsonl"
        return path.read_bytes().count(b"\n") if path.exists() else 0


class CuttingProxy:
    """Hands connections on to a port; on demand it lets a request through and cuts the connection before the answer."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._to_cut = 0
        self._lock = threading.Lock()
        self.cut = 0
        proxy = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                proxy._serve(self.request)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/xAPI/statements"

    def cut_answers(self, number: int) -> None:
        with self._lock:
            self._to_cut += number

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, client: socket.socket) -> None:
        try:
            store = socket.create_connection(("127.0.0.1", self._target))
        except OSError:
            return
        with store, client:
            ended = threading.Event()
            threading.Thread(target=self._pump, args=(client, store, ended, lambda _data: False), daemon=True).start()
            threading.Thread(target=self._pump, args=(store, client, ended, self._cuts), daemon=True).start()
            ended.wait()

    def _cuts(self, data: bytes) -> bool:
        """Cut at an answer that says that statements were stored."""
        with self._lock:
            if not self._to_cut or not data.startswith(b"HTTP/1.1 200"):
                return False
            self._to_cut -= 1
            self.cut += 1
            return True

    @staticmethod
    def _pump(
        source: socket.socket, sink: socket.socket, ended: threading.Event, cuts: Callable[[bytes], bool]
    ) -> None:
        try:
            while data := source.recv(1 << 16):
                if cuts(data):
                    return
                sink.sendall(data)
        except OSError:
            pass
        finally:
            ended.set()
