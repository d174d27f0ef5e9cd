"""`amphipod worker`: starts `dramatiq core.actors` with the right flags, keeps it running, stops it cleanly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Annotated, cast

import typer

from core import backoff, measures
from core.cli.terminal.options import Call
from core.errors import BadCall
from core.plugin_host import installation
from core.plugin_host.manager import Manager
from core.process import parent
from core.queue import host_metrics, names
from core.redis import connection

#: Threads of a worker on a light queue.
_LIGHT_THREADS = 8

#: Seconds to wait before a worker that died at once is started again; doubled each time up to a minute.
_FIRST_DELAY = 1.0
_LONGEST_DELAY = 60.0

#: A worker that lived for so many seconds had a fault of the moment, not of its start.
_LIVED = 30.0


@dataclass
class _Service:
    """One `dramatiq` and its restarts."""

    command: Sequence[str]
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    delay: float = 0.0
    deaths: int = 0
    start_at: float = 0.0

    def tend(self) -> int | None:
        """Start the process if it is time. Returns its exit code if it has just ended."""
        clock = time.monotonic()
        if self.process is None:
            if clock >= self.start_at:
                self.process = subprocess.Popen(self.command, env=self.environment)
                self.started = clock
            return None
        code = self.process.poll()
        if code is not None:
            self.process = None
            self.deaths = 1 if clock - self.started > _LIVED else self.deaths + 1
            self.delay = backoff.pause(self.deaths, first=_FIRST_DELAY, longest=_LONGEST_DELAY)
            self.start_at = clock + self.delay
        return code


def worker(
    context: typer.Context,
    queue: Annotated[list[str], typer.Argument(help="encoding, transcripting, xapi, callbacks; any of them.")],
    bridge: Annotated[
        bool,
        typer.Option("--bridge", help="Also take Esup-Pod's messages for these queues, as `amphipod bridge` does."),
    ] = False,
    grace: Annotated[
        float, typer.Option("--grace", help="Seconds that running steps get to hand their jobs back on SIGTERM.")
    ] = 30.0,
    metrics_port: Annotated[
        str | None,
        typer.Option("--metrics-port", help="Port, or HOST:PORT, on which Prometheus is answered; 0: a free one."),
    ] = None,
) -> None:
    """Serve queues until SIGTERM or Ctrl-C: one process a queue, as many heavy steps at once as this host has slots.

    A worker that dies is started again. On SIGTERM running jobs are handed back to their queue, for others to do.
    """
    settings = cast("Call", context.obj).settings()
    heavy = {**Manager(settings).steps.queues(), names.CALLBACKS: False}
    queues = list(dict.fromkeys(queue))
    if unknown := sorted(set(queue) - heavy.keys()):
        raise BadCall(
            f"no queue {', '.join(unknown)}", remedy=f"there are {', '.join(heavy)}; a plugin may bring others"
        )
    installation.check()
    with connection.opened(settings) as client:
        client.ping()
    if metrics_port is not None:
        measures.collecting()
        where = host_metrics.serve(settings, metrics_port, [name for name in queues if heavy[name]])
        typer.echo(f"metrics at {where}", err=True)
    environment = {**os.environ, **parent.named()}
    if cast("Call", context.obj).config:
        environment["AMPHIPOD_CONFIG"] = str(cast("Call", context.obj).config)
    services = [_Service(_command(name, settings.slots if heavy[name] else 0, grace), environment) for name in queues]
    if bridge:
        services.append(_Service([sys.executable, "-P", "-m", "core.cli", "bridge", *_bridged(queue)], environment))
    raise typer.Exit(_supervise(services, grace))


def _bridged(queue: Sequence[str]) -> list[str]:
    """Return the queues that Esup-Pod sends to; callbacks are ours alone."""
    return [name for name in dict.fromkeys(queue) if name in names.BUILT_IN and name != names.CALLBACKS]


def _command(queue: str, slots: int, grace: float) -> list[str]:
    processes, threads = (slots, 1) if slots else (1, _LIGHT_THREADS)
    return [
        *(sys.executable, "-P", "-m", "core.worker", "core.actors"),
        *("--processes", str(processes), "--threads", str(threads)),
        *("--worker-shutdown-timeout", str(round(grace * 1000)), "--skip-logging"),
        *("--queues", queue),
        "--path",  # none: the current folder must not shadow our packages
    ]


def _supervise(services: Sequence[_Service], grace: float) -> int:
    stopping = False

    def stop(_signum: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    while not stopping:
        for service in services:
            code = service.tend()
            if code == BadCall.exit_code:
                # It has said what is wrong with its settings; starting it again would not help.
                stopping = True
            elif code is not None:
                typer.echo(f"amphipod: a worker ended with {code}, next start in {service.delay:.0f} s", err=True)
        time.sleep(0.2)
    running = [service.process for service in services if service.process]
    for process in running:
        process.send_signal(signal.SIGTERM)
    codes = [_wait(process, grace + 10) for process in running]
    return max((abs(code) for code in codes), default=0)


def _wait(process: subprocess.Popen[bytes], seconds: float) -> int:
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
