"""`amphipod token`: make, list and revoke the tokens by which programs and browsers are let in."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Annotated, cast

import typer

from core.cli.terminal.options import Call, JsonOption
from core.errors import BadCall
from core.model import now
from core.web import tokens
from core.web.tokens import SCOPES, Token

token = typer.Typer(help="Tokens of the HTTP side (`amphipod serve`): make, list, revoke.", no_args_is_help=True)


@token.command()
def create(
    context: typer.Context,
    scope: Annotated[
        str,
        typer.Option(
            "--scope", help="read: see all; submit: also make jobs; manage: also cancel, retry, delete, mend records."
        ),
    ] = "read",
    name: Annotated[str, typer.Option("--name", help="Whose it is, for the list.")] = "",
    days: Annotated[float | None, typer.Option("--days", help="Days until it expires; by default it does not.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a token and print it, once: only its hash is kept."""
    if scope not in SCOPES:
        raise BadCall(f"no scope {scope!r}", remedy=f"there are {', '.join(SCOPES)}")
    if days is not None and not 0 < days < 36_500:
        raise BadCall(f"--days {days:g}", remedy="write how many days from now it is good for")
    expires_at = now() + timedelta(days=days) if days else None
    root = cast("Call", context.obj).settings().jobs_root
    kept, text = tokens.create(root, scope, name=name, expires_at=expires_at)
    typer.echo(json.dumps({"id": kept.id, "token": text}) if as_json else text)


@token.command(name="list")
def list_(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the tokens: id, scope, name, since when and until when."""
    known = tokens.read(cast("Call", context.obj).settings().jobs_root)
    if as_json:
        shown = [one.model_dump(mode="json", exclude={"sha256"}) for one in known]
        typer.echo(json.dumps(shown, indent=2))
        return
    for one in known:
        typer.echo(f"{one.id}  {one.scope:<7} {one.created_at:%Y-%m-%d}  {_until(one):<20} {one.name}".rstrip())
    if not known:
        typer.echo("no token was made: `amphipod serve` answers this machine only")


@token.command()
def revoke(
    context: typer.Context,
    identity: Annotated[str, typer.Argument(metavar="ID", help="As `amphipod token list` shows it.")],
) -> None:
    """Take a token back, at once."""
    gone = tokens.revoke(cast("Call", context.obj).settings().jobs_root, identity)
    typer.echo(f"{gone.id} revoked")


def _until(one: Token) -> str:
    if one.expires_at is None:
        return "for ever"
    return f"{'expired' if one.is_expired else 'until'} {one.expires_at:%Y-%m-%d}"
