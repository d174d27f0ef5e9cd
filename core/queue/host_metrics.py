"""Numbers of this host for Prometheus: slots and disks; and the port on which a worker tells them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from core import measures
from core.errors import BadCall
from core.queue import slots
from core.settings import Settings

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric


def serve(settings: Settings, address: str, queues: Iterable[str]) -> str:
    """Answer Prometheus at `address`, "PORT" or "HOST:PORT", in a thread. Returns where.

    Raises:
        BadCall: nobody can listen there.
    """
    from prometheus_client import start_http_server

    host, _, port = address.rpartition(":")
    try:
        registry = measures.registry()
        register(registry, settings, queues)
        server, _ = start_http_server(int(port), host or "127.0.0.1", registry)
    except (OSError, ValueError, OverflowError) as error:
        words = error.strerror if isinstance(error, OSError) else "not a port"
        raise BadCall(f"--metrics-port {address}: {words}", remedy="name a free port, 9808 or 0.0.0.0:9808") from error
    return f"http://{host or '127.0.0.1'}:{server.server_port}/metrics"


def register(registry: CollectorRegistry, settings: Settings, queues: Iterable[str]) -> None:
    """Add what is known of this host, which works on heavy `queues`, to a registry."""
    from prometheus_client.registry import Collector

    class Host(Collector):
        def describe(self) -> list[Metric]:
            return []

        def collect(self) -> Iterator[Metric]:
            yield from _disks(settings)
            yield from _slots(settings, queues)

    registry.register(Host())


def _disks(settings: Settings) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    free = GaugeMetricFamily("amphipod_disk_free_bytes", "What is free below a folder", labels=["folder"])
    size = GaugeMetricFamily("amphipod_disk_size_bytes", "Size of its file system", labels=["folder"])
    for folder in dict.fromkeys((settings.jobs_root, *settings.media_roots)):
        try:
            found = os.statvfs(folder)
        except OSError:
            continue  # not mounted: that it is missing says so
        free.add_metric([str(folder)], found.f_bavail * found.f_frsize)
        size.add_metric([str(folder)], found.f_blocks * found.f_frsize)
    yield from (free, size)


def _slots(settings: Settings, queues: Iterable[str]) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    taken = GaugeMetricFamily("amphipod_slots_taken", "Heavy steps that this host does now", labels=["queue"])
    there = GaugeMetricFamily("amphipod_slots", "Heavy steps that it may do at once", labels=["queue"])
    for queue in queues:
        taken.add_metric([queue], slots.taken(queue, settings.run_dir, settings.slots))
        there.add_metric([queue], settings.slots)
    yield from (taken, there)
