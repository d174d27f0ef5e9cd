"""How far each step is: a bar each on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn

from core.context import Progress as StepProgress
from core.storage.job_state import FINISH

#: Seconds between two plain lines about one step.
LINE_EVERY = 5.0


class Show(Protocol):
    """What the drawing of progress must be able to do."""

    def progress(self, step: str, progress: StepProgress) -> None: ...

    def ended(self, step: str, word: str) -> None: ...

    def say(self, words: str) -> None: ...


@contextmanager
def show(steps: tuple[str, ...]) -> Iterator[Show]:
    """Show the progress of `steps` on standard error until the block ends."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines()
        return
    bars = Progress(
        TextColumn("{task.description:<10}", markup=False),
        BarColumn(bar_width=40),
        TaskProgressColumn(),
        TextColumn("{task.fields[words]}", markup=False),
        console=console,
    )
    with bars:
        yield _Bars(bars, steps)


class _Bars:
    def __init__(self, bars: Progress, steps: tuple[str, ...]) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {step: self._new(step) for step in steps}

    def progress(self, step: str, progress: StepProgress) -> None:
        if step not in self._tasks:
            self._tasks[step] = self._new(step)
        self._bars.update(self._tasks[step], completed=progress.fraction, words=_words(progress))

    def ended(self, step: str, word: str) -> None:
        if step == FINISH:
            self._bars.remove_task(self._tasks.pop(step))
        else:
            self._bars.update(self._tasks[step], completed=1.0 if word == "succeeded" else None, words=word)

    def say(self, words: str) -> None:
        self._bars.console.print(words, markup=False, highlight=False)

    def _new(self, step: str) -> TaskID:
        return self._bars.add_task(step, total=1.0, words="")


class _Lines:
    def __init__(self) -> None:
        self._last: dict[str, float] = {}
        self._doing: dict[str, str] = {}

    def progress(self, step: str, progress: StepProgress) -> None:
        if step == FINISH:
            return
        clock = time.monotonic()
        new = progress.doing != self._doing.get(step, "")
        self._doing[step] = progress.doing
        if (progress.doing and new) or (not progress.doing and clock - self._last.get(step, 0.0) >= LINE_EVERY):
            self._last[step] = 0.0 if progress.doing else clock
            words = "" if progress.doing else f"{progress.fraction:.0%}, "
            typer.echo(f"{step}: {words}{_words(progress)}", err=True)

    def ended(self, step: str, word: str) -> None:
        if step != FINISH:
            typer.echo(f"{step}: {word}", err=True)

    def say(self, words: str) -> None:
        typer.echo(words, err=True)


def _words(progress: StepProgress) -> str:
    if progress.doing:
        return progress.doing
    left = progress.seconds_left
    remaining = f", {_clock(left)} left" if left is not None else ""
    return f"{progress.speed:.1f}x realtime{remaining}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
