"""`amphipod emit`: statements of a file, or of another program, on their way to the stores."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, TextIO, cast

import typer

from core.cli.terminal.options import Call
from core.errors import BadCall
from core.redis import connection
from core.statements import submit

#: Statements that are read from a file before they are sent.
_AT_ONCE = 1000


def emit(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="JSON lines, or an array of statements; - reads standard input.")],
) -> None:
    """Send statements to every record store. Safe to repeat: a statement that has an id is stored once."""
    settings = cast("Call", context.obj).settings()
    connection.url(settings)
    sent = 0
    batch: list[Mapping[str, Any]] = []
    for statement in _read(file):
        batch.append(statement)
        if len(batch) == _AT_ONCE:
            sent += len(submit.submit_statements(batch, settings=settings))
            batch.clear()
    sent += len(submit.submit_statements(batch, settings=settings))
    typer.echo(f"{sent} statements wait for delivery")


def _read(file: Path) -> Iterator[Mapping[str, Any]]:
    try:
        with open(0, encoding="utf-8", closefd=False) if str(file) == "-" else file.open(encoding="utf-8") as text:
            yield from _statements(text, str(file))
    except OSError as error:
        raise BadCall(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadCall(f"{file}: not UTF-8 ({error.reason})") from error


def _statements(text: TextIO, name: str) -> Iterator[Mapping[str, Any]]:
    """Yield what lines hold, each a statement or an array; or what a text holds that is one array over many lines."""
    lines = ((number, line) for number, line in enumerate(text, 1) if line.strip())
    first = next(lines, None)
    if first and first[1].lstrip().startswith("[") and not _is_json(first[1]):
        yield from _several(first[1] + text.read(), name)
        return
    for number, line in chain([first] if first else [], lines):
        yield from _several(line, f"{name}, line {number}")


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _several(text: str, where: str) -> list[Mapping[str, Any]]:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadCall(
            f"{where}: not JSON ({error})", remedy="mend the line; those before it may have been sent"
        ) from error
    several = said if isinstance(said, list) else [said]
    if not all(isinstance(one, dict) for one in several):
        raise BadCall(f"{where}: not a JSON object", remedy="write one statement a line, or an array of statements")
    return several
