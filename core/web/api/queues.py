"""Queues and workers."""

from __future__ import annotations

from fastapi import APIRouter

from core.web import overview as view
from core.web.auth import READ
from core.web.overview import Overview, Queue, Worker
from core.web.services import Services


def router(services: Services) -> APIRouter:
    routes = APIRouter(dependencies=READ, tags=["service"])

    @routes.get("/overview")
    def overview() -> Overview:
        """Tell how many jobs there are, what waits on which queue, and who works on what."""
        return view.overview(services)

    @routes.get("/queues")
    def queues() -> list[Queue]:
        """List the queues: how much waits, since when, and whether anybody reads it."""
        return view.queue_list(services)

    @routes.get("/workers")
    def workers() -> list[Worker]:
        """List the workers that live, and what each does."""
        return view.worker_list(services)

    return routes
