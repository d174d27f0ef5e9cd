"""A job done by this command: progress, Ctrl-C, whom to tell, what was made. `run`, `retry` and `resume` share it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType

import typer

from core.cli.terminal import progress, summary
from core.cli.terminal.plain import plain
from core.context import Progress
from core.errors import JobConflict
from core.model import Manifest, State
from core.pipeline import in_process, lifecycle
from core.pipeline.planning import Host
from core.queue import job_row
from core.storage import deliveries, job_state
from core.storage.job_folder import JobFolder
from core.web.player import stand_alone


@dataclass(frozen=True)
class Outcome:
    """How a job ended here."""

    manifest: Manifest
    #: By which it was stopped: Ctrl-C or SIGTERM.
    signal: int | None = None

    @property
    def exit_code(self) -> int:
        """128 and the signal's number, as shells count; else 0 only if the job succeeded."""
        return 128 + self.signal if self.signal else int(self.manifest.state is not State.SUCCEEDED)


def work(host: Host, folder: JobFolder, *, jobs: int = 1) -> Outcome:
    """Do what is left of a job, with progress, and tell whoever was named. Ctrl-C cancels it."""
    asked = folder.job()
    begun: set[str] = set()
    with _interrupts() as received, progress.show(asked.steps) as shown:

        def report(step: str, far: Progress) -> None:
            begun.add(step)
            shown.progress(step, far)

        try:
            whole = in_process.run_embedded(host, folder, jobs=jobs, on_progress=report, on_end=shown.ended)
        except KeyboardInterrupt:
            with suppress(JobConflict):  # it may be over already
                lifecycle.cancel(folder)
            whole = in_process.run_embedded(host, folder)
        for step, how in whole.steps.items():
            if not how.state.is_final:
                shown.ended(step, "stopped" if step in begun else "not begun")
    tell(host, folder)
    return Outcome(whole, received[0] if received else None)


def finish(
    host: Host, folder: JobFolder, *, jobs: int = 1, page: bool = False, as_json: bool = False, lines: bool = False
) -> Outcome:
    """Do what is left of a job, say what was made, and after an interrupt how to go on; JSON in one line if `lines`."""
    outcome = work(host, folder, jobs=jobs)
    written = (
        stand_alone.write(outcome.manifest, folder) if page and outcome.manifest.state is State.SUCCEEDED else None
    )
    summary.show(outcome.manifest, folder, as_json=as_json, lines=lines)
    if written and not as_json:
        typer.echo(f"page     {plain(str(written))}")
    if outcome.signal and outcome.manifest.state is State.CANCELLED:
        typer.echo(f"amphipod: what is done is kept, `amphipod retry {folder.id}` goes on", err=True)
    return outcome


def tell(host: Host, folder: JobFolder) -> None:
    """Tell whoever was named, once each: somebody waits for this command, and `amphipod resume` knows what is left."""
    if not (due := deliveries.due(folder)):
        return
    from core.callbacks import delivery as callbacks_delivery
    from core.pod import callback_kinds

    contracts = callback_kinds.contracts(host.manager)
    for delivery in due:
        record, _ = callbacks_delivery.attempt(host.settings, folder, delivery, contracts)
        if record.state != "delivered":
            typer.echo(f"not told: {record.callback.url}: {record.answer}", err=True)


def is_at_work(folder: JobFolder) -> bool:
    """Tell whether a living process works on a job, as the attempts' folders tell."""
    return bool(job_row.working(folder, job_state.fold(folder)))


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Treat SIGTERM as the Ctrl-C that it means for a command in the foreground; yields the signals that came."""
    received: list[int] = []

    def interrupt(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        raise KeyboardInterrupt

    previous = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
