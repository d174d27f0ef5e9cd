"""What is installed here, and whether it is fit for work: version, steps with their options, plugins, doctor."""

from __future__ import annotations

import time
from collections.abc import Mapping
from importlib.metadata import version
from threading import Lock
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from core import doctor as core_doctor
from core.errors import AmphipodError
from core.findings import Finding, are_well
from core.hookspecs import NAME
from core.model import Step
from core.pipeline import planning
from core.plugin_host.loader import PluginInfo
from core.web.auth import READ
from core.web.services import Services

#: Seconds for which what doctor found is shown again: a look writes to disks and asks every service.
_FRESH = 10.0


class Version(BaseModel):
    version: str
    #: Whether workers do the jobs; else `amphipod serve` does.
    broker: bool


class StepAbout(BaseModel):
    """A step that a job may ask for."""

    step: Step
    summary: str
    #: Whose workers do it, whether it fills a machine, and which steps come before.
    queue: str
    heavy: bool
    needs: tuple[str, ...]
    #: The plugins that can do it here; none: no host of this kind can, others may.
    engines: tuple[str, ...]
    #: The one that does it when nothing else is said; None when that is left open.
    default: str | None
    #: Why no engine does it here.
    reason: str = ""
    #: JSON Schema of each engine's options.
    options: Mapping[str, Mapping[str, Any]]


class Report(BaseModel):
    ok: bool
    findings: tuple[Finding, ...]


def router(services: Services) -> APIRouter:
    routes = APIRouter(dependencies=READ, tags=["system"])
    doctor_ = Doctor(services)

    @routes.get("/version")
    def our_version() -> Version:
        return Version(version=version(NAME), broker=services.has_broker)

    @routes.get("/steps")
    def steps() -> list[StepAbout]:
        """List the steps of a job, who does them on this host, and which options they know."""
        return step_list(services)

    @routes.get("/plugins")
    def plugins() -> list[PluginInfo]:
        """List the plugins of this host: version, state, hooks, and why one does not work."""
        return list(services.manager.infos)

    @routes.get("/doctor")
    def doctor() -> Report:
        """Say whether this host is fit for work, and if not, what to do; looked at every few seconds at the most."""
        return doctor_.report()

    return routes


def step_list(services: Services) -> list[StepAbout]:
    """Return what this host knows of each step."""
    return [_about(services, step) for step in services.manager.steps.specs]


def _about(services: Services, step: Step) -> StepAbout:
    manager, spec = services.manager, services.manager.steps.specs[step]
    engines = manager.engines(step)
    schemas = {name: manager.options_schema(step, name) for name in engines}
    default, reason = None, ""
    try:
        default = planning.choose(manager, step)[0]
    except AmphipodError as error:
        reason = str(error)
    return StepAbout(
        step=step,
        summary=spec.summary,
        queue=spec.queue,
        heavy=spec.heavy,
        needs=spec.needs,
        engines=engines,
        default=default,
        reason=reason,
        options={name: schema.model_json_schema() for name, schema in schemas.items() if schema},
    )


class Doctor:
    """What `amphipod doctor` finds on this host, looked at by one caller at a time."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._lock = Lock()
        self._last: tuple[float, Report] | None = None

    def report(self) -> Report:
        with self._lock:
            if self._last is None or time.monotonic() - self._last[0] > _FRESH:
                findings = tuple(core_doctor.examine(self._services.host))
                report = Report(ok=are_well(findings), findings=findings)
                self._last = (time.monotonic(), report)
            return self._last[1]
