"""Everything that `amphipod serve` serves, as one application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.types import ASGIApp

from core import measures, settings
from core.hookspecs import NAME
from core.plugin_host.manager import Manager
from core.pod.runner_manager import api as runner_manager_api
from core.settings import Settings
from core.web import api, metrics, statements
from core.web.auth import READ, Guard
from core.web.http import problems
from core.web.http.headers import LOCAL, Forwarded, Prefix, ReadableAcrossOrigins, SecurityHeaders
from core.web.http.limits import BodyLimits
from core.web.http.problems import API, Problem
from core.web.pages import routes
from core.web.services import Services


def application() -> FastAPI:
    """Return the application by the settings of this host: `uvicorn --factory core.web.app:application`."""
    measures.collecting()
    loaded = settings.load()
    return build(loaded, Manager(loaded))


def build(loaded: Settings, manager: Manager, *, root_path: str = "") -> FastAPI:
    """Return the application; `root_path` is the path below which a reverse proxy shows it.

    Without a broker it has neither the runner managers' API nor the intake of statements: both need the queues.
    """
    services = Services(loaded, manager)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with services.running():
            yield

    app = _Application(title="Amphipod", version=version(NAME), docs_url=None, redoc_url=None, lifespan=lifespan)
    app.state.services = services
    app.include_router(api.router(services), prefix=API)
    app.include_router(metrics.router(services), include_in_schema=False)
    if services.has_broker:
        app.include_router(statements.router(loaded, manager), include_in_schema=False)
        app.include_router(runner_manager_api.router(loaded))
    routes.install(app, services)
    brought = APIRouter(dependencies=READ)
    manager.register_routes(brought)
    app.include_router(brought)
    problems.install(app, loaded)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    # The last that is added sees a request first.
    app.add_middleware(BodyLimits, seconds=loaded.web_time_limit)
    app.add_middleware(Guard, settings=loaded, known=services.tokens)
    app.add_middleware(Forwarded, trusted=loaded.web_trusted_proxies or LOCAL)
    app.add_middleware(ReadableAcrossOrigins, path=statements.PATH)
    app.add_middleware(Prefix, root_path=root_path, trusted=loaded.web_trusted_proxies)
    return app


class _Application(FastAPI):
    """Tells browsers what to refuse also where it stumbles: Starlette answers that before all middleware of ours."""

    def build_middleware_stack(self) -> ASGIApp:
        return SecurityHeaders(super().build_middleware_stack())


def _openapi(app: FastAPI) -> dict[str, Any]:
    """Describe the routes, and the form of problems, which no route names as its model."""
    if not app.openapi_schema:
        schema = get_openapi(title=app.title, version=app.version, routes=app.routes)
        models = schema.setdefault("components", {}).setdefault("schemas", {})
        models["Problem"] = Problem.model_json_schema()
        app.openapi_schema = schema
    return app.openapi_schema
