"""`amphipod serve`: the HTTP side, for a reverse proxy to stand before."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated, cast

import typer

from core.cli.options import State
from core.errors import BadCall


def serve(
    context: typer.Context,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port to listen on.")] = 8900,
) -> None:
    """Serve over HTTP: the runner manager's API for newer Esup-Pods, and the intake of players' statements."""
    if not (find_spec("fastapi") and find_spec("uvicorn")):
        raise BadCall("the HTTP side needs FastAPI", remedy="pip install 'amphipod[web]'")
    loaded = cast("State", context.obj).host()
    import uvicorn

    from core.web.app import build

    app = build(loaded.settings, loaded.manager)
    uvicorn.run(app, host=host, port=port, log_config=None, server_header=False)
