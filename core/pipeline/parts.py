"""A step in parts: how it was divided, what is left to do, how far the whole is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

from core.context import Progress
from core.errors import Transient
from core.model import Division, Part, PartOutput, State, StepResult
from core.storage import files, job_state
from core.storage.job_folder import JobFolder

#: In the place of a part's name: all parts are there, make the whole of them.
JOIN = "+"


def name(step: str, part: Part | None) -> str:
    """Return what a part's results and attempts are filed under; the whole and its join go by the step's own name."""
    return f"{step}.{part.name}" if part else step


def division(folder: JobFolder, step: str) -> Division | None:
    """Return how a step was divided, None if nobody has decided yet."""
    try:
        return Division.model_validate_json(folder.division(step).read_bytes())
    except FileNotFoundError:
        return None


def fix(folder: JobFolder, step: str, wanted: Division) -> Division:
    """Decide how a step is divided, unless somebody has; returns what stands."""
    with suppress(FileExistsError):
        files.write_once(folder.division(step), wanted.to_json())
    return Division.model_validate_json(folder.division(step).read_bytes())


def results(folder: JobFolder, step: str, divided: Division) -> dict[str, StepResult]:
    """Return the committed parts, by name."""
    run = folder.run()
    found = ((part.name, job_state.result(folder, name(step, part), run)) for part in divided.parts)
    return {part: result for part, result in found if result}


def missing(folder: JobFolder, step: str, divided: Division) -> tuple[Part, ...]:
    """Return the parts that nobody has committed."""
    done = results(folder, step, divided)
    return tuple(part for part in divided.parts if part.name not in done)


def outputs(folder: JobFolder, step: str, divided: Division) -> tuple[PartOutput, ...]:
    """Return what all parts have made, in order.

    Raises:
        Transient: one can't be seen from here; on a network file system it may take a while.
    """
    done = results(folder, step, divided)
    made = []
    for part in divided.parts:
        result = done.get(part.name)
        if result is None or result.state is not State.SUCCEEDED:
            raise Transient(f"part {part.name} of {step} is not there yet", job=folder.id, step=step)
        made.append(
            PartOutput(
                part=part,
                folder=folder.path / result.folder if result.folder else None,
                artifacts=result.artifacts,
                facts=result.facts,
                notes=result.notes,
            )
        )
    return tuple(made)


def remove(folder: JobFolder, step: str, divided: Division) -> None:
    """Remove the parts' files, once they are joined."""
    for result in results(folder, step, divided).values():
        if result.folder:
            files.remove(folder.path / result.folder)


def speed_of(part: Part, progress: Progress) -> float:
    """Return how fast a part adds to the whole: in units of its weight, which need not be its own seconds."""
    return progress.speed / progress.total * part.weight if 0 <= progress.fraction < 1 and progress.total else 0.0


class Sum:
    """How far a divided step is, from what its parts report; never goes back."""

    def __init__(self, divided: Division, report: Callable[[Progress], None]) -> None:
        self._total = sum(part.weight for part in divided.parts)
        self._report = report
        self._done: dict[str, float] = {}
        self._speed: dict[str, float] = {}
        self._most = 0.0
        self._lock = threading.Lock()

    def reporter(self, part: Part) -> Callable[[Progress], None]:
        """Return what a part reports to."""

        def report(progress: Progress) -> None:
            with self._lock:
                self._done[part.name] = progress.fraction * part.weight
                self._speed[part.name] = speed_of(part, progress)
                self._most = max(self._most, sum(self._done.values()))
                whole = Progress(self._most, self._total, sum(self._speed.values()))
            self._report(whole)

        return report
