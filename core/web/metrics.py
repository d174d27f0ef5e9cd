"""`/metrics`: what Prometheus reads of the service and of this process."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from importlib.metadata import version

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from core import measures
from core.errors import AmphipodError
from core.hookspecs import NAME
from core.queue import host_metrics, status
from core.redis import connection
from core.web.api import records
from core.web.auth import READ
from core.web.overview import overview
from core.web.services import Services


def router(services: Services) -> APIRouter:
    routes = APIRouter(dependencies=READ, tags=["system"])

    @routes.get("/metrics", response_class=Response)
    def metrics() -> Response:
        """Return numbers for Prometheus; where Redis does not answer, `amphipod_redis_up` alone says so."""
        registry = measures.registry()
        registry.register(ServiceCollector(services))
        host_metrics.register(registry, services.settings, ())
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return routes


class ServiceCollector(Collector):
    """The state of the service, asked when it is scraped: some twenty calls of Redis, however many jobs there are."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def describe(self) -> list[Metric]:
        return []  # nothing is asked when it is registered

    def collect(self) -> Iterator[Metric]:
        yield _of("amphipod_build_info", "Always 1; its label is the version", "version", {version(NAME): 1})
        try:
            found = [*self._jobs(), *self._callbacks(), *self._statements()]
        except AmphipodError:
            found = []
        if self._services.has_broker:
            yield GaugeMetricFamily("amphipod_redis_up", "Whether Redis answers", value=float(bool(found)))
        yield from found

    def _jobs(self) -> Iterator[Metric]:
        seen = overview(self._services)
        queues, now = seen.queues, time.time()
        waited = {one.name: now - one.oldest.timestamp() if one.oldest else 0 for one in queues}
        unfit = sum(bool(one.fault) for one in seen.workers)
        yield _of("amphipod_jobs", "Jobs", "state", dict(seen.counts))
        yield _of("amphipod_queue_jobs", "Jobs that wait", "queue", {one.name: one.jobs for one in queues})
        yield _of("amphipod_queue_oldest_seconds", "How long the first of them has waited", "queue", waited)
        yield _of(
            "amphipod_queue_served", "Whether a worker reads it", "queue", {one.name: one.served for one in queues}
        )
        messages = GaugeMetricFamily("amphipod_queue_messages", "Messages on a queue", labels=["queue", "state"])
        for one in queues:
            for state, number in (("waiting", one.messages), ("delayed", one.delayed), ("dead", one.dead)):
                messages.add_metric([one.name, state], number)
        yield messages
        yield GaugeMetricFamily("amphipod_workers", "Worker processes alive", value=len(seen.workers))
        yield GaugeMetricFamily("amphipod_workers_unfit", "Of those, how many take nothing", value=unfit)

    def _callbacks(self) -> Iterator[Metric]:
        if not self._services.has_broker:
            return
        with connection.errors(self._services.settings):
            states = [one["state"] for one in status.untold(connection.shared(self._services.settings))]
        numbers = {"waiting": states.count("due"), "dead": states.count("given_up")}
        yield _of("amphipod_callbacks", "Portals still to be told, and given up", "state", numbers)

    def _statements(self) -> Iterator[Metric]:
        stores = records.store_list(self._services)
        for name, words in (("waiting", "wait"), ("on_disk", "wait on the disk"), ("dead", "no store takes")):
            numbers = {one.name: getattr(one, name) for one in stores}
            yield _of(f"amphipod_statements_{name}", f"Statements that {words}", "store", numbers)
        sent = CounterMetricFamily("amphipod_statements_sent", "Statements that a store has taken", labels=["store"])
        for one in stores:
            sent.add_metric([one.name], one.sent)
        yield sent
        alarms = {one.name: bool(one.alarm) for one in stores}
        yield _of("amphipod_store_alarm", "Whether something keeps a store from taking any", "store", alarms)


def _of(name: str, words: str, label: str, numbers: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, words, labels=[label])
    for value, number in numbers.items():
        family.add_metric([value], float(number))
    return family
