"""`amphipod logs`: one job's story, from all hosts that had a part in it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, cast

import typer

from core.cli.terminal.options import Call as Call
from core.cli.terminal.options import JsonOption
from core.cli.terminal.plain import plain
from core.storage import job_state
from core.storage.job_folder import JobFolder
from core.storage.job_state import FINISH
from core.storage.story import Reader

#: Seconds between two looks for new lines, and after the job's end for those that other hosts still write.
_LOOK_EVERY = 0.5
_LINGER = 2.0

#: Shown in columns of their own, or the same on every line.
_COLUMNS = ("timestamp", "level", "event", "host", "step", "part", "job", "correlation_id", "exception")

_UNITS = {"speed": "x", "percent": "%"} | dict.fromkeys(
    ("waited", "seconds", "seconds_left", "next_try", "since_submitted"), "s"
)

_COLOURS = {"warning": "yellow", "error": "red", "critical": "red"}


def logs(
    context: typer.Context,
    job: Annotated[str, typer.Argument(help="The job's id, as `submit` printed it.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job is over.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print one job's story: who took it when, how far it came, what went wrong and why, who was told.

    It is read from the job's folder. With --json each line is one JSON object.
    """
    settings = cast("Call", context.obj).settings()
    folder = JobFolder(settings.jobs_root, job)
    asked = folder.job()
    if not as_json:
        typer.echo(f"job {job}, correlation id {asked.correlation}")
    reader = Reader(folder)
    _print(reader, as_json=as_json)
    while follow:
        over = job_state.result(folder, FINISH, folder.run()) is not None
        time.sleep(_LINGER if over else _LOOK_EVERY)
        _print(reader, as_json=as_json)
        follow = not over


def _print(reader: Reader, *, as_json: bool) -> None:
    for line in reader.new():
        typer.echo(json.dumps(line, ensure_ascii=False) if as_json else _words(line))


def _words(line: Mapping[str, Any]) -> str:
    """Return a line for a person: local time, host, step, what happened, and the facts."""
    level = str(line.get("level", "info"))
    where = ".".join(str(line[name]) for name in ("step", "part") if line.get(name))
    facts = " ".join(_fact(name, value) for name, value in line.items() if name not in _COLUMNS)
    event = str(line.get("event", ""))
    shown = event if level == "info" else typer.style(f"{level}: {event}", fg=_COLOURS.get(level))
    words = f"{_clock(line)}  {line.get('host', ''):<12} {where:<12} {shown}  {facts}".rstrip()
    trace = str(line.get("exception", ""))
    return "\n".join([words, *(f"    {one}" for one in trace.splitlines())])


def _clock(line: Mapping[str, Any]) -> str:
    try:
        return f"{datetime.fromisoformat(str(line.get('timestamp', ''))).astimezone():%Y-%m-%d %H:%M:%S}"
    except ValueError:
        return " " * 19


def _fact(name: str, value: Any) -> str:
    text = plain(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    return f"{name}={json.dumps(text, ensure_ascii=False) if ' ' in text else text}{_UNITS.get(name, '')}"
