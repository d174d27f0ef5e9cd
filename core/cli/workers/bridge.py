"""`amphipod bridge`: takes Esup-Pod's messages in place of its workers."""

from __future__ import annotations

import signal
import threading
from importlib.util import find_spec
from typing import Annotated, cast

import typer

from core import logs
from core.cli.terminal.options import Call
from core.errors import BadCall, BadSettings
from core.process import parent
from core.redis import connection
from core.settings import Settings


def bridge(
    context: typer.Context,
    queue: Annotated[
        list[str] | None, typer.Argument(help="encoding, transcripting, xapi; by default all that have a broker.")
    ] = None,
) -> None:
    """Take the messages that Esup-Pod's server sends to its workers, until SIGTERM or Ctrl-C.

    Needs ENCODING_TRANSCODING_CELERY_BROKER_URL or XAPI_CELERY_BROKER_URL, MEDIA_ROOT, and a broker of our own, which
    may be the same Redis. It may run beside Pod's workers: each message goes to one of them.
    """
    parent.follow_named()
    settings = cast("Call", context.obj).settings()
    wanted = _brokers(settings, queue or [])
    if find_spec("kombu") is None:
        raise BadCall("the bridge needs kombu", remedy="pip install 'amphipod[pod]'")
    if not settings.media_roots:
        raise BadSettings("no media roots", remedy="set MEDIA_ROOT as Esup-Pod has it")
    logs.configure(settings)
    with connection.opened(settings) as client:
        client.ping()
    from core.pod.celery_bridge import Bridge

    bridges = [Bridge(url, queues, settings) for url, queues in wanted.items()]
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _signum, _frame: stopping.set())
    for one in bridges:
        one.start()
    while not stopping.wait(0.5):
        if not all(one.is_alive for one in bridges):
            raise typer.Exit(1)
    for one in bridges:
        one.stop()


def _brokers(settings: Settings, wanted: list[str]) -> dict[str, list[str]]:
    """Return the queues to serve by their broker."""
    brokers = {
        "encoding": settings.pod_broker_url,
        "transcripting": settings.pod_broker_url,
        "xapi": settings.pod_xapi_broker_url,
    }
    if unknown := sorted(set(wanted) - set(brokers)):
        raise BadCall(f"Esup-Pod has no queue {', '.join(unknown)}", remedy=f"there are {', '.join(brokers)}")
    found: dict[str, list[str]] = {}
    for queue, url in brokers.items():
        if url and (not wanted or queue in wanted):
            found.setdefault(url, []).append(queue)
    served = [queue for queues in found.values() for queue in queues]
    if missing := [queue for queue in wanted or ["encoding"] if queue not in served]:
        name = "XAPI_CELERY_BROKER_URL" if missing == ["xapi"] else "ENCODING_TRANSCODING_CELERY_BROKER_URL"
        if wanted or not served:
            raise BadSettings(f"{', '.join(missing)}: no broker", remedy=f"set {name} as Esup-Pod has it")
    return found
