"""What the log says of one attempt at a step, or a part of one: taken, every tenth of the way, done."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar

import structlog

from core import measures
from core.context import Progress
from core.model import Job, Part, State, Step, StepResult

#: Of the whole, what lies between two lines about progress; seconds that do at least, so that a short clip is no flood.
_EVERY = 0.1
_PAUSE = 1.0

#: Seconds that the message which this thread works on has waited, not counting a delay that was asked for; None
#: in-process.
waited: ContextVar[float | None] = ContextVar("waited", default=None)

_log = structlog.get_logger()


class StepLog:
    """The lines of one attempt."""

    def __init__(self, job: Job, step: Step, part: Part | None, attempt: int) -> None:
        self._log = _log.bind(job=job.id, step=step, **({"part": part.name} if part else {}), attempt=attempt)
        self._part = part
        self._started = self._told_at = time.monotonic()
        self._told = 0.0
        self._media = part.weight if part else 0.0
        self._step = step
        measures.attempt_began(step)
        self._log.info("taken", source=str(job.source.path), **_waited())

    def following(self, report: Callable[[Progress], None]) -> Callable[[Progress], None]:
        """Return a function that tells each tenth, before it passes progress on; a part is but a tenth itself."""

        def progress(far: Progress) -> None:
            clock = time.monotonic()
            if self._part is None:
                self._media = far.total or self._media
                if far.fraction - self._told >= _EVERY and far.fraction < 1 and clock - self._told_at >= _PAUSE:
                    self._told, self._told_at = far.fraction // _EVERY * _EVERY, clock
                    left = far.seconds_left
                    about = {} if left is None else {"seconds_left": round(left)}
                    self._log.info("progress", percent=int(far.fraction * 100), speed=round(far.speed, 2), **about)
            report(far)

        return progress

    def ended(self, result: StepResult, standing: StepResult) -> None:
        """Tell what was committed; `standing` is another's result where another attempt was first."""
        seconds = max(time.monotonic() - self._started, 1e-3)
        if standing is not result:
            self._log.info("dropped: another attempt was first", seconds=round(seconds, 1), state=str(standing.state))
            return
        media = float(result.facts.get("duration") or self._media)
        measures.step_ended(self._step, result.engine.plugin if result.engine else "", seconds, media)
        speed = {"speed": round(media / seconds, 2)} if media else {}
        for note in result.notes:
            self._log.warning("note", note=note)
        self._log.info("done", seconds=round(seconds, 1), **speed, files=len(result.artifacts))


def examining(job: Job, step: Step) -> None:
    """Tell that a source is looked at to see whether the step can be divided."""
    _log.info("examining", job=job.id, step=step, source=str(job.source.path), **_waited())


def _waited() -> dict[str, float]:
    seconds = waited.get()
    return {} if seconds is None else {"waited": round(seconds, 1)}


def failed(result: StepResult, error: BaseException | None) -> None:
    """Tell that a step has failed for good, with the trace of the error where there is one."""
    assert result.state is State.FAILED
    measures.step_failed(result.step.partition(".")[0], type(error).__name__ if error else "LimitExceeded")
    attempt = {"attempt": result.attempt} if result.attempt else {}
    _log.error("failed", job=result.job, step=result.step, **attempt, reason=result.reason, exc_info=error)
