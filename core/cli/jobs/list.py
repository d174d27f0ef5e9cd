"""`amphipod jobs` and `amphipod dead`: the list of jobs, the newest first, and what could not be done or delivered."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from core.cli.terminal.options import Call, JsonOption
from core.cli.terminal.plain import plain
from core.errors import BadCall
from core.job_index import JobIndex, JobPage, JobQuery, JobRow, RowState, open_index, parse_states
from core.settings import Settings

if TYPE_CHECKING:
    from core.job_index import Counts

#: Seconds between two looks of --watch.
_LOOK_EVERY = 1.0

_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86400}

#: Keys of `--json` that only a broker fills.
_SERVICE: Mapping[str, Any] = {"queues": {}, "unserved": [], "running": [], "delayed": [], "failed": [], "untold": []}

_COLOURS = {RowState.RUNNING: "blue", RowState.FAILED: "red", RowState.DELAYED: "yellow", RowState.SUCCEEDED: "green"}


def jobs(
    context: typer.Context,
    state: Annotated[
        list[str] | None,
        typer.Option("--state", help="waiting, running, delayed, failed, done, cancelled or open; repeat it."),
    ] = None,
    queue: Annotated[
        str | None, typer.Option("--queue", help="Those on this queue: encoding, transcripting, ...")
    ] = None,
    step: Annotated[str | None, typer.Option("--step", help="Those that are, or have failed, at this step.")] = None,
    since: Annotated[str | None, typer.Option("--since", help="Not older than 30min, 2h, 3d or 2026-09-01.")] = None,
    search: Annotated[
        str, typer.Option("--search", help="Words of title, file, id, reason or the portal's own words.")
    ] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=500, help="How many at the most.")] = 20,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on showing it, until Ctrl-C.")] = False,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Make the list in Redis anew from the jobs' files.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List jobs, the newest first, with id, state, how far they are or why they failed; what runs stands on top.

    With a broker also the queues, those that nobody reads, and what a portal could not be told yet. Without one the
    jobs of this host's folder.
    """
    settings = cast("Call", context.obj).settings()
    if rebuild:
        _rebuild(settings)
        return
    query = JobQuery(
        states=parse_states(state or ()),
        queue=queue,
        step=step,
        text=search,
        since=parse_since(since) if since else None,
        limit=limit,
    )
    index = open_index(settings)
    if watch and not as_json:
        _watch(settings, index, query)
        return
    page = _page(index, query)
    if as_json:
        typer.echo(json.dumps(_as_data(settings, index, page), indent=2))
        return
    typer.echo("\n".join(_lines(settings, index, query, page)))


def dead(
    context: typer.Context,
    limit: Annotated[int, typer.Option("--limit", min=1, max=500, help="How many jobs at the most.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Show what was given up: jobs that failed, portals that could not be told, statements that no store takes,
    messages that are none.

    Each with its reason and the command that tries it again.
    """
    settings = cast("Call", context.obj).settings()
    page = open_index(settings).page(JobQuery(states=(RowState.FAILED,), order="ended", limit=limit))
    service = _overview(settings)
    untold = [one for one in service["untold"] if one["state"] == "given_up"]
    stores, messages = _dead_statements(settings), _dead_messages(settings)
    if as_json:
        rows = [row.model_dump(mode="json") for row in page.rows]
        typer.echo(json.dumps({"jobs": rows, "untold": untold, "statements": stores, "messages": messages}, indent=2))
        return
    for row in page.rows:
        typer.echo(
            f"{row.id}  {_time(row.changed_at)}  {plain(row.title)}: {plain(row.reason or 'no reason is known')}"
        )
    if page.rows:
        typer.echo("again: `amphipod retry ID`; all about one: `amphipod show ID`")
    for one in untold:
        typer.echo(
            f"{one['job']}  its portal was not told: {plain(one['answer'])}; again: `amphipod tell {one['job']}`"
        )
    for store, number in stores.items():
        typer.echo(f"{store}: {number} statements; why: `amphipod statements dead`")
    for one in messages:
        typer.echo(f"message on {one['queue']} set aside: {plain(one['reason'])}: {plain(one['message'])}")
    if not (page.rows or untold or stores or messages):
        typer.echo("nothing is dead")


def parse_since(text: str) -> datetime:
    """Read `2h`, `3d`, `30min`, or a date with or without a time, which is local unless it says otherwise.

    Raises:
        BadCall
    """
    if length := re.fullmatch(r"(\d{1,6}) ?(s|min|h|d)", text):
        return datetime.now(UTC) - timedelta(seconds=int(length[1]) * _UNITS[length[2]])
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError) as error:
        raise BadCall(
            f"--since {text!r} is no time", remedy="write 30min, 2h, 3d, 2026-09-01 or 2026-09-01T08:00"
        ) from error


def _page(index: JobIndex, query: JobQuery) -> JobPage:
    """Return what was asked for; when nothing was, what runs before the newest of all."""
    page = index.page(query)
    if query.model_dump(exclude_defaults=True, exclude={"limit"}):
        return page
    busy = index.page(query.model_copy(update={"states": (RowState.RUNNING, RowState.DELAYED)})).rows
    first = {row.id for row in busy}
    rest = [row for row in page.rows if row.id not in first]
    return page.model_copy(update={"rows": (*busy, *rest)[: query.limit]})


def _rebuild(settings: Settings) -> None:
    if settings.broker_url is None:
        typer.echo("without a broker the folder itself is the list: nothing to do")
        return
    from core.job_index import rebuild
    from core.redis import connection

    with connection.opened(settings) as client:
        known, gone = rebuild.rebuild(client, settings.jobs_root)
    typer.echo(f"{known} jobs listed, {gone} forgotten")


def _watch(settings: Settings, index: JobIndex, query: JobQuery) -> None:
    """Draw the list again and again on a terminal; elsewhere print each line that is new."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console()
    try:
        if not console.is_terminal:
            _follow(settings, index, query)
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                words = "\n".join(_lines(settings, index, query, _page(index, query)))
                live.update(Text.from_ansi(words, no_wrap=True, overflow="ellipsis"), refresh=True)
                time.sleep(_LOOK_EVERY)
    except KeyboardInterrupt:
        return


def _follow(settings: Settings, index: JobIndex, query: JobQuery) -> None:
    said: set[str] = set()
    while True:
        lines = _lines(settings, index, query, _page(index, query))
        for line in lines:
            if line not in said:
                typer.echo(line)
        said = set(lines)
        time.sleep(_LOOK_EVERY)


def _as_data(settings: Settings, index: JobIndex, page: JobPage) -> dict[str, Any]:
    rows = [row.model_dump(mode="json") for row in page.rows]
    counts = index.counts().model_dump()
    return {**_overview(settings), "counts": counts, "rows": rows, "next_cursor": page.next_cursor}


def _overview(settings: Settings) -> dict[str, Any]:
    if settings.broker_url is None:
        return dict(_SERVICE)
    from core.queue import monitor
    from core.redis import connection

    with connection.opened(settings) as client:
        return monitor.overview(client)


def _dead_messages(settings: Settings) -> list[dict[str, str]]:
    if settings.broker_url is None:
        return []
    from core.queue import monitor
    from core.redis import connection

    with connection.opened(settings) as client:
        return monitor.dead(client)


def _dead_statements(settings: Settings) -> dict[str, int]:
    """Return how many statements each store has refused for good, of those that have any."""
    if settings.broker_url is None:
        return {}
    from core.redis import connection
    from core.statements import submit

    with connection.opened(settings) as client:
        boxes = [submit.outbox(client, name, settings) for name in submit.stores(client, settings, ())]
        found = {box.name.removeprefix("_"): int(box.report()["dead"]) for box in boxes}
    return {store: number for store, number in found.items() if number}


def _lines(settings: Settings, index: JobIndex, query: JobQuery, page: JobPage) -> list[str]:
    found = _service_lines(_overview(settings)) if settings.broker_url else []
    found += [_line(row) for row in page.rows]
    if not page.rows:
        found.append("no job matches" if query.model_dump(exclude_defaults=True, exclude={"limit"}) else "no jobs yet")
    more = "; there are more, see --limit, --state and --search" if page.next_cursor else ""
    return [*found, f"{_summary(index.counts())}{more}"]


def _service_lines(view: dict[str, Any]) -> list[str]:
    found = [f"{'queue':<20} {'waiting':>8} {'delayed':>8} {'dead':>8}"]
    for name, counts in view["queues"].items():
        if any(counts.values()) or "." not in name:
            found.append(f"{name:<20} {counts['waiting']:>8} {counts['delayed']:>8} {counts['dead']:>8}")
    for one in view["unserved"]:
        queue, messages = one["queue"], one["messages"]
        words = f"{messages} messages wait on `{queue}` and no worker of it is running"
        found.append(f"{words}: start one with `amphipod worker {queue}`")
    for one in view["untold"]:
        word = "untold" if one["state"] == "due" else "given up"
        found.append(f"{word:<7} {one['job']} ({one['kind']}), {one['tries']} tries: {plain(one['answer'])}")
    return found


def _line(row: JobRow) -> str:
    state = "done" if row.state is RowState.SUCCEEDED else str(row.state)
    shown = typer.style(f"{state:<10}", fg=_COLOURS.get(row.state))
    return f"{shown} {row.id}  {plain(row.title)}  {_words(row)}".rstrip()


def _words(row: JobRow) -> str:
    """Return what is worth saying of a job in its state."""
    match row.state:
        case RowState.RUNNING:
            return " ".join(_running(row))
        case RowState.WAITING:
            return f"{row.step}, since {_time(row.changed_at)}"
        case RowState.DELAYED:
            next_try = _time(row.next_try) if row.next_try else "later"
            return f"{row.step}, next try {next_try}: {plain(row.reason or 'asked for')}"
        case RowState.FAILED:
            return plain(row.reason or "")
        case _:
            return _time(row.changed_at) + (", portal not told yet" if row.told in ("due", "given_up") else "")


def _running(row: JobRow) -> Iterable[str]:
    yield str(row.step)
    if far := row.progress:
        yield f"{far.fraction:.0%}"
        if far.speed:
            yield f"{far.speed:.1f}x"
        if (left := far.seconds_left) is not None:
            yield f"{timedelta(seconds=round(left))} left"
    if row.hosts:
        yield f"on {', '.join(row.hosts)},"
    yield f"since {_time(row.changed_at)}"


def _summary(counts: Counts) -> str:
    return ", ".join(f"{number} {name}" for name, number in counts.model_dump().items())


def _time(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"
