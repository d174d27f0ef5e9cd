"""Everything that `amphipod serve` serves, as one application."""

from __future__ import annotations

from importlib.metadata import version

from fastapi import FastAPI

from core import settings
from core.hookspecs import NAME
from core.manager import Manager
from core.pod import runner_api
from core.settings import Settings
from core.web import statements


def application() -> FastAPI:
    """Return the application by the settings of this host: `uvicorn --factory core.web.app:application`."""
    loaded = settings.load()
    return build(loaded, Manager(loaded))


def build(loaded: Settings, manager: Manager) -> FastAPI:
    """Return the application.

    Raises:
        BadSettings: no broker is set.
    """
    app = FastAPI(title="Amphipod", version=version(NAME))
    app.include_router(statements.router(loaded, manager), include_in_schema=False)
    app.include_router(runner_api.router(loaded))
    return app
