"""`amphipod serve`: the HTTP side: pages, API, numbers; without a broker it also does the jobs."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated, cast

import typer

from core import measures
from core.cli.terminal.options import Call
from core.errors import BadCall


def serve(
    context: typer.Context,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port to listen on; 0: a free one.")] = 8900,
    root_path: Annotated[
        str, typer.Option("--root-path", help="Path below which a reverse proxy shows it, /amphipod.")
    ] = "",
) -> None:
    """Serve pages and the API over HTTP, and print where. Without a broker the jobs are done here, one at a time.

    With a broker also the runner manager's API for newer Esup-Pods, and the intake of players' statements.
    Until a token is made by `amphipod token create`, only this machine is answered.
    """
    if not (find_spec("fastapi") and find_spec("uvicorn")):
        raise BadCall("the HTTP side needs FastAPI", remedy="pip install 'amphipod[web]'")
    loaded = cast("Call", context.obj).host()
    measures.collecting()
    from core.web.app import build
    from core.web.http import server

    app = build(loaded.settings, loaded.manager, root_path=root_path)
    server.run(app, host, port, say=lambda words: typer.echo(words, err=True))
