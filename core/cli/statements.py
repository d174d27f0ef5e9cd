"""`amphipod statements`: see what became of them, try the dead ones again, and forget a person's."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Annotated, Any, cast

import typer

from core.cli.terminal.options import Call, JsonOption
from core.errors import BadCall
from core.plugin_host.manager import Manager
from core.redis import connection
from core.settings import Settings
from core.statements import dead_letters, forget, people
from core.statements import submit as waiting
from core.statements.dead_letters import Choice
from core.statements.outbox import Outbox

#: Dead statements on a page.
_PAGE = 100


def statements(
    context: typer.Context,
    what: Annotated[
        str | None, typer.Argument(metavar="[dead|forget]", help="dead: undeliverable ones; forget: all of a person's.")
    ] = None,
    which: Annotated[
        list[str] | None, typer.Argument(help="Ids of dead statements; whom to forget: a mailbox, a login, JSON.")
    ] = None,
    store: Annotated[str | None, typer.Option("--store", help="Of this record store only.")] = None,
    reason: Annotated[str, typer.Option("--reason", help="Dead ones whose reason has these words.")] = "",
    page: Annotated[int, typer.Option("--page", min=1, help=f"Of {_PAGE} dead ones each.")] = 1,
    show: Annotated[bool, typer.Option("--show", help="Print the dead statements whole.")] = False,
    export: Annotated[bool, typer.Option("--export", help="Print them all, one JSON object a line.")] = False,
    retry: Annotated[bool, typer.Option("--retry", help="Send them again.")] = False,
    drop: Annotated[bool, typer.Option("--drop", help="Remove them for good; all of them takes --all.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Yes, drop all.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show for each record store how many statements were sent, wait, were retried or are dead, and what is wrong.

    Exits 1 while something keeps a store from taking statements.
    """
    if what not in (None, "dead", "forget"):
        raise BadCall(f"no {what!r} here", remedy="write `amphipod statements`, `... dead` or `... forget ACTOR`")
    if drop and not (which or reason or everything):
        raise BadCall("--drop alone would remove all", remedy="name some by id or --reason, or add --all")
    settings = cast("Call", context.obj).settings()
    with connection.opened(settings) as client:
        manager = Manager(settings)
        known = [destination.name for destination in manager.statement_destinations()]
        names = waiting.stores(client, settings, known)
        boxes = [waiting.outbox(client, name, settings) for name in names if store in (None, _label(name))]
        if not boxes:
            raise BadCall(f"no record store {store!r}", remedy="see `amphipod statements`")
        choice = dead_letters.chosen(frozenset(which) if which else None, reason)
        if what is None:
            _overview(boxes, as_json=as_json)
        elif what == "forget":
            _forget(" ".join(which or ()), boxes, manager, settings, as_json=as_json)
        elif retry:
            _tell("retried", sum(dead_letters.retry(box, choice) for box in boxes), "sent again", as_json=as_json)
        elif drop:
            _tell("removed", sum(dead_letters.drop(box, choice) for box in boxes), "removed", as_json=as_json)
        elif export:
            for letter in (letter for box in boxes for letter in dead_letters.each(box, choice)):
                typer.echo(json.dumps(letter | {"store": _label(letter["store"])}))
        else:
            _dead(boxes, choice, page, show=show, as_json=as_json)


def _forget(who: str, boxes: Sequence[Outbox], manager: Manager, settings: Settings, *, as_json: bool) -> None:
    agent = people.agent_of(who)
    number = sum(forget.everywhere(agent, boxes, manager, settings).values())
    _tell("forgotten", number, "forgotten", as_json=as_json)
    if "homePage" not in agent.get("account", {"homePage": ""}):
        typer.echo("a pseudonym depends on the account's home page, too: name the agent as JSON", err=True)


def _tell(name: str, number: int, words: str, *, as_json: bool) -> None:
    typer.echo(json.dumps({name: number}) if as_json else f"{number} statements {words}")


def _overview(boxes: Sequence[Outbox], *, as_json: bool) -> None:
    reports = {_label(box.name): box.report() for box in boxes}
    if as_json:
        typer.echo(json.dumps(reports, indent=2))
    else:
        _table(reports)
    if any(report["alarm"] for report in reports.values()):
        raise typer.Exit(1)


def _table(reports: Mapping[str, Mapping[str, Any]]) -> None:
    columns = ("sent", "waiting", "on_disk", "retried", "dropped", "dead", "rate")
    typer.echo(f"{'store':<16}" + "".join(f"{name.replace('_', ' '):>10}" for name in columns))
    for name, report in reports.items():
        typer.echo(f"{name:<16}" + "".join(f"{report[column]:>10}" for column in columns))
    for name, report in reports.items():
        if report["alarm"]:
            typer.secho(f"{name}: {report['alarm']}", fg="red")


def _dead(boxes: Sequence[Outbox], choice: Choice, page: int, *, show: bool, as_json: bool) -> None:
    every = (letter for box in boxes for letter in dead_letters.each(box, choice))
    letters = [one | {"store": _label(one["store"])} for one in islice(every, (page - 1) * _PAGE, page * _PAGE + 1)]
    letters, more = letters[:_PAGE], letters[_PAGE:]
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
    if more:
        typer.echo(f"more: --page {page + 1}")


def _label(name: str) -> str:
    return name.removeprefix("_")
