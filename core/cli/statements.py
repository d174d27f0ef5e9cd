"""`amphipod emit` and `amphipod statements`: put statements in, see what became of them, try the dead ones again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from core.cli.terminal.options import Call, JsonOption
from core.errors import BadCall
from core.plugin_host.manager import Manager
from core.redis import connection
from core.statements import dead_letters
from core.statements import submit as waiting
from core.statements.outbox import Outbox

#: Statements that are read from a file before they are sent.
_AT_ONCE = 1000


def emit(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="Statements, one JSON object a line; - reads standard input.")],
) -> None:
    """Send statements to every record store. Safe to repeat: a statement that has an id is stored once."""
    settings = cast("Call", context.obj).settings()
    connection.url(settings)
    sent = 0
    batch: list[Mapping[str, Any]] = []
    for statement in _read(file):
        batch.append(statement)
        if len(batch) == _AT_ONCE:
            sent += len(waiting.submit_statements(batch, settings=settings))
            batch.clear()
    sent += len(waiting.submit_statements(batch, settings=settings))
    typer.echo(f"{sent} statements wait for delivery")


def _read(file: Path) -> Iterator[Mapping[str, Any]]:
    try:
        with open(0, encoding="utf-8", closefd=False) if str(file) == "-" else file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield _parsed(line, f"{file}, line {number}")
    except OSError as error:
        raise BadCall(f"{file}: {error.strerror}") from error


def _parsed(line: str, where: str) -> Mapping[str, Any]:
    try:
        statement = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadCall(
            f"{where}: not JSON ({error})", remedy="mend the line; those before it may have been sent"
        ) from error
    if not isinstance(statement, dict):
        raise BadCall(f"{where}: not a JSON object", remedy="write one statement a line")
    return statement


def statements(
    context: typer.Context,
    what: Annotated[str | None, typer.Argument(metavar="[dead]", help="dead: those that can't be delivered.")] = None,
    store: Annotated[str | None, typer.Option("--store", help="Of this record store only.")] = None,
    show: Annotated[bool, typer.Option("--show", help="Print the dead statements whole.")] = False,
    retry: Annotated[bool, typer.Option("--retry", help="Send the dead statements again.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show for each record store how many statements were sent, wait, were retried or are dead, and what is wrong."""
    if what not in (None, "dead"):
        raise BadCall(f"no {what!r} here", remedy="write `amphipod statements` or `amphipod statements dead`")
    settings = cast("Call", context.obj).settings()
    with connection.opened(settings) as client:
        known = [destination.name for destination in Manager(settings).statement_destinations()]
        names = waiting.stores(client, settings, known)
        boxes = [waiting.outbox(client, name, settings) for name in names if store in (None, name)]
        if not boxes:
            raise BadCall(f"no record store {store!r}", remedy="see `amphipod statements`")
        if what is None:
            _overview(boxes, as_json=as_json)
        elif retry:
            number = sum(dead_letters.retry(box) for box in boxes)
            typer.echo(json.dumps({"retried": number}) if as_json else f"{number} statements sent again")
        else:
            _dead(boxes, show=show, as_json=as_json)


def _overview(boxes: list[Outbox], *, as_json: bool) -> None:
    reports = {_label(box.name): box.report() for box in boxes}
    if as_json:
        typer.echo(json.dumps(reports, indent=2))
        return
    columns = ("sent", "waiting", "on_disk", "retried", "dropped", "dead", "rate")
    typer.echo(f"{'store':<16}" + "".join(f"{name.replace('_', ' '):>10}" for name in columns))
    for name, report in reports.items():
        typer.echo(f"{name:<16}" + "".join(f"{report[column]:>10}" for column in columns))
    for name, report in reports.items():
        if report["alarm"]:
            typer.secho(f"{name}: {report['alarm']}", fg="red")


def _dead(boxes: list[Outbox], *, show: bool, as_json: bool) -> None:
    letters = [letter | {"store": _label(letter["store"])} for box in boxes for letter in dead_letters.read(box)]
    if as_json:
        typer.echo(json.dumps(letters, indent=2))
        return
    for letter in letters:
        statement = letter["statement"]
        name = statement.get("id") if isinstance(statement, dict) else "not a statement"
        typer.echo(f"{letter['at']} {letter['store']} {name}: {letter['words']}")
        if show:
            typer.echo(json.dumps(statement, indent=2))
    if not letters:
        typer.echo("no dead statements")


def _label(name: str) -> str:
    return name.removeprefix("_")
