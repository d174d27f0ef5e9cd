"""Lines that wait in files on the shared file system, in the order in which they came."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from core.storage import files as storage_files

#: Statements say who watched what: nobody but their worker reads them.
OWN = 0o600


class Spool:
    """One folder, a file each time that something is put."""

    def __init__(self, folder: Path, mode: int = OWN) -> None:
        """Take the folder, and who may read its files."""
        self._folder = folder
        self._mode = mode

    def put(self, lines: Sequence[str]) -> None:
        """Keep lines without a line break in them; on return they are on stable storage.

        Raises:
            NoSpace, NotWritable
        """
        if not lines:
            return
        with storage_files.disk_errors(self._folder):
            storage_files.make_folder(self._folder)
            name = f"{self._stamp():020}-{secrets.token_hex(4)}-{len(lines)}.jsonl"
            text = "".join(f"{line}\n" for line in lines)
            storage_files.write_once(self._folder / name, text, mode=self._mode)

    def _stamp(self) -> int:
        """Return the time, or where the clock was set back a moment after the newest file: names keep the order."""
        newest = max((path.name for path in self._folder.glob("*.jsonl")), default="0-")
        return max(time.time_ns(), int(newest.partition("-")[0]) + 1)

    def files(self) -> Iterator[Path]:
        """Return the files, the oldest first; whoever has taken one over removes it."""
        yield from sorted(self._folder.glob("*.jsonl"))

    def keep(self, path: Path, lines: Sequence[str]) -> None:
        """Leave only these lines of one of the files, at its place in the order. A crash may leave all of them."""
        if lines:
            stamp = path.name.partition("-")[0]
            name = f"{stamp}-{secrets.token_hex(4)}-{len(lines)}.jsonl"
            text = "".join(f"{line}\n" for line in lines)
            storage_files.write_once(self._folder / name, text, mode=self._mode)
        path.unlink()

    def __len__(self) -> int:
        """Return how many lines wait; their files' names tell."""
        return sum(int(path.stem.rpartition("-")[2]) for path in self.files())

    def __bool__(self) -> bool:
        return any(self.files())


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="backslashreplace").split("\n")[:-1]
