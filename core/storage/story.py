"""One job's story: the log lines that are about it, kept in its folder, and read again by `amphipod logs`.

`story/<host>.jsonl`, one JSON object a line. A file a host, because on NFS two hosts that append to one file overwrite
each other; the files are merged by time when they are read. A file that has grown past `LIMIT` becomes
`<host>.older.jsonl` in place of the one before, so that a job's story is never larger than twice that a host.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import UnknownJob
from core.storage import files
from core.storage.job_folder import JobFolder

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger

#: Bytes of one host's file.
LIMIT = 256 * 1024

#: Characters of a line, of one value in it, and of a trace, whose end says most.
_LINE_LIMIT = 12_000
_VALUE_LIMIT = 2_000
_TRACE_LIMIT = 6_000

#: What is kept of a line that is too long even so.
_ALWAYS = ("timestamp", "level", "event", "host", "step", "part", "reason")

_SUFFIX = ".jsonl"


def keep(root: Path) -> Processor:
    """Return a processor that adds each line at info or above that has a job to the job's story.

    A job whose folder can't be seen from here has none here; a story that can't be written never fails the job, and
    the line itself says so.
    """

    def processor(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        job = event.get("job")
        if isinstance(job, str) and job and event.get("level") != "debug":
            try:
                append(JobFolder(root, job), {name: value for name, value in event.items() if name[:1] != "_"})
            except (OSError, UnknownJob) as error:
                event["story"] = f"not written: {error}"
        return event

    return processor


def append(folder: JobFolder, line: Mapping[str, Any]) -> None:
    """Add a line; it is given the name of this host. Without the job's folder nothing happens.

    Raises:
        OSError: it can't be written.
        UnknownJob: no job can have this id.
    """
    current = folder.story / f"{files.host_name()}{_SUFFIX}"
    data = _text({**line, "host": files.host_name()}).encode(errors="replace") + b"\n"
    try:
        descriptor = _open(current)
    except FileNotFoundError:
        if not folder.path.is_dir():
            return
        files.make_folder(folder.story, parents=False)
        descriptor = _open(current)
        files.share(current)
    try:
        os.write(descriptor, data)
        status = os.fstat(descriptor)
        if status.st_size > LIMIT:
            _rotate(current, status)
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, files.PRIVATE)


def _rotate(current: Path, status: os.stat_result) -> None:
    """Make the file that has grown too large the older one, unless another process of this host just has."""
    try:
        if os.path.samestat(current.stat(), status):
            current.replace(current.with_suffix(f".older{_SUFFIX}"))
    except FileNotFoundError:
        return


def _text(line: Mapping[str, Any]) -> str:
    """Return a line's JSON, cut where it is too long."""
    kept = {name: _cut(name, value) for name, value in line.items()}
    text = json.dumps(kept, default=str, ensure_ascii=False)
    if len(text) > _LINE_LIMIT:
        kept = {name: value for name, value in kept.items() if name in _ALWAYS} | {"cut": True}
        text = json.dumps(kept, default=str, ensure_ascii=False)
    return text


def _cut(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if name == "exception":
        return value if len(value) <= _TRACE_LIMIT else f"[...] {value[-_TRACE_LIMIT:]}"
    return value if len(value) <= _VALUE_LIMIT else f"{value[:_VALUE_LIMIT]} [...]"


class Reader:
    """Reads a job's story: all of it at first, then what has come since."""

    def __init__(self, folder: JobFolder) -> None:
        self._folder = folder
        #: Bytes read of each file, by its inode: names change when a file becomes the older one.
        self._read: dict[int, int] = {}

    def new(self) -> list[dict[str, Any]]:
        """Return the lines that were not read yet, the oldest first."""
        lines = [line for path in sorted(self._folder.story.glob(f"*{_SUFFIX}")) for line in self._lines(path)]
        return sorted(lines, key=lambda line: str(line.get("timestamp", "")))

    def _lines(self, path: Path) -> list[dict[str, Any]]:
        try:
            with path.open("rb") as file:
                status = os.fstat(file.fileno())
                begin = self._read.get(status.st_ino, 0)
                file.seek(begin if begin <= status.st_size else 0)
                whole, newline, _rest = file.read(2 * LIMIT).rpartition(b"\n")
                self._read[status.st_ino] = file.tell() - len(_rest)
        except FileNotFoundError:  # it has just become the older one: the next call reads it
            return []
        return [_parsed(text) for text in (whole + newline).splitlines()]


def _parsed(text: bytes) -> dict[str, Any]:
    """Return a line; one that a full disk or a crash has torn is shown as it is."""
    try:
        line = json.loads(text)
    except ValueError:
        line = None
    return line if isinstance(line, dict) else {"event": text.decode(errors="replace"), "level": "info"}
