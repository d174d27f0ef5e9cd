"""A Firefox without a window, told what to do by Marionette, its own protocol: no driver is needed."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from ...lrs import free_port

#: Films play without a click, and nobody is asked anything.
_PREFERENCES = """
user_pref("marionette.port", {port});
user_pref("media.autoplay.default", 0);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
"""


class Firefox:
    """One browser with one tab."""

    def __init__(self, program: str, folder: Path) -> None:
        """Start it; its profile is in `folder`."""
        port = free_port()
        (folder / "user.js").write_text(_PREFERENCES.format(port=port))
        command = [program, "--headless", "--no-remote", "--marionette", "--profile", str(folder)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._number = 0
        self._socket = self._connected(port)
        self._read()  # its greeting
        self._ask("WebDriver:NewSession", {})

    def _connected(self, port: int) -> socket.socket:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            with suppress(OSError):
                return socket.create_connection(("127.0.0.1", port), timeout=60)
            time.sleep(0.1)
        raise AssertionError("Firefox does not start")

    def go(self, url: str) -> None:
        self._ask("WebDriver:Navigate", {"url": url})

    def evaluate(self, script: str) -> Any:
        """Run the body of a function in the page."""
        return self._ask("WebDriver:ExecuteScript", {"script": script, "args": [], "sandbox": None})["value"]

    def wait_for(self, condition: str) -> None:
        end = time.monotonic() + 30
        while not self.evaluate(f"return Boolean({condition})"):
            assert time.monotonic() < end, condition
            time.sleep(0.02)

    def close(self) -> None:
        self._socket.close()
        self._process.terminate()
        self._process.wait()

    def _ask(self, command: str, parameters: dict[str, Any]) -> Any:
        self._number += 1
        text = json.dumps([0, self._number, command, parameters])
        self._socket.sendall(f"{len(text.encode())}:{text}".encode())
        _, _, error, result = self._read()
        assert error is None, error
        return result

    def _read(self) -> Any:
        size = b""
        while (one := self._socket.recv(1)) != b":":
            size += one
        text = b""
        while len(text) < int(size):
            text += self._socket.recv(int(size) - len(text))
        return json.loads(text)
