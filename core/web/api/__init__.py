"""The API, `/api/v1`: jobs, their events, queues and workers, record stores, uploads, what is installed here."""

from __future__ import annotations

from fastapi import APIRouter

from core.web.api import docs, events, files, jobs, queues, records, system, uploads
from core.web.http.problems import RESPONSES
from core.web.services import Services


def router(services: Services) -> APIRouter:
    """Return all routes, without their prefix."""
    routes = APIRouter(responses=RESPONSES)
    for part in (docs, jobs, files, events, queues, records, uploads, system):
        routes.include_router(part.router(services))
    return routes
