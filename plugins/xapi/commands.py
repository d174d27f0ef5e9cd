"""`amphipod pseudonyms`: who somebody is in the record stores, and what another key would change."""

from __future__ import annotations

import json
from typing import Annotated, cast

import typer

from core import BadCall
from plugins.xapi import stores
from plugins.xapi.settings import XapiSettings

_ROTATION = """\
A new key makes new people: what the stores have under the old pseudonyms stays as it is, and is not joined to
what comes. To change it, move AMPHIPOD_XAPI_ANONYMIZE_KEY to AMPHIPOD_XAPI_ANONYMIZE_OLD_KEYS='{"ID": "..."}', with
the id in force, which may be empty; set a new key and another AMPHIPOD_XAPI_ANONYMIZE_KEY_ID; restart the workers.
From then on the id stands in the pseudonyms' home page, so that a store tells both apart, and this command shows a
person's under each key for as long as the old one is kept. What waits already leaves under the old one. Without its
key a pseudonym leads to nobody."""


def pseudonyms(
    context: typer.Context,
    actor: Annotated[
        str | None, typer.Argument(help="A mailbox, or an agent as JSON; none: what a new key does.")
    ] = None,
) -> None:
    """Show the pseudonyms of a person under the key in force and the earlier ones, and what another key does."""
    settings = cast("XapiSettings", context.obj.settings().of_plugin("xapi", XapiSettings))
    schemes = stores.schemes(settings)
    if not schemes:
        raise BadCall("no key is set, so nobody is hidden", remedy="set AMPHIPOD_XAPI_ANONYMIZE_KEY")
    if actor is None:
        for number, scheme in enumerate(schemes):
            typer.echo(f"{'earlier' if number else 'in force'}: {scheme.key_id or '(no id)'}, people at {scheme.place}")
        typer.echo(_ROTATION)
        return
    try:
        agent = json.loads(actor) if actor.startswith("{") else {"mbox": f"mailto:{actor.removeprefix('mailto:')}"}
    except ValueError as error:
        raise BadCall(f"{actor[:80]} is not JSON ({error})") from error
    for scheme in schemes:
        typer.echo(json.dumps(scheme.rename(agent)))
