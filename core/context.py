"""What a running step is handed: where to write, how to tell how far it is, when to stop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import Cancelled

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from core.model import Manifest

#: Seconds between two reports that leave the process; a step may report as often as it likes.
REPORT_EVERY = 0.2


@dataclass(frozen=True)
class Progress:
    """How far a step is, in seconds of media unless the step says otherwise."""

    done: float
    total: float
    #: Media seconds a second, measured since the step began.
    speed: float
    #: What is done where `done` stands still: "loading the model".
    doing: str = ""

    @property
    def fraction(self) -> float:
        return min(max(self.done / self.total, 0.0), 1.0) if self.total > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the step ends at this speed; None when nothing was done yet."""
        left = max(self.total - self.done, 0.0) / self.speed if self.speed > 0 else math.inf
        return left if math.isfinite(left) else None


@dataclass
class Context:
    """Handed to a hook that does a step.

    `output` is the folder whose files are published; `workdir` is for what nobody should see. Both exist, are empty
    and lie on one file system. Nothing in `output` is visible to anyone until the hook has answered.
    """

    step: str
    attempt: int
    workdir: Path
    output: Path
    #: Where the files of `output` will be read from once published; absolute, and may not exist yet.
    published: Path
    #: What the steps before have made; `made("audio")` hands over by kind.
    manifest: Manifest
    #: The job's folder, under which the manifest's folders lie.
    job_folder: Path
    log: FilteringBoundLogger
    #: Threads that the step may keep busy; 0 means one a core.
    threads: int = 0
    report: Callable[[Progress], None] = lambda progress: None
    is_cancelled: Callable[[], bool] = lambda: False
    #: To be told how long the source is, in seconds, once that is known: what a step may cost goes by it.
    lasts: Callable[[float], None] = lambda seconds: None
    _started: float = field(default_factory=time.monotonic)
    _reported: float = 0.0
    _done: float = 0.0
    _total: float = 0.0

    @property
    def kept(self) -> Path:
        """Folder that outlives an attempt: what one that crashed has saved there, the next one finds.

        There from the start, and gone once the step has succeeded.
        """
        return self.job_folder / "scratch" / f"{self.step}.kept"

    def made(self, kind: str) -> Path | None:
        """Return the first file of a kind that a step before has made."""
        for step in self.manifest.steps.values():
            for artifact in step.artifacts:
                if artifact.kind == kind and step.folder:
                    return self.job_folder / step.folder / artifact.path
        return None

    def progress(self, done: float, total: float) -> None:
        """Tell how much is done, in seconds of media; never goes back.

        Cheap: call it once a frame.
        """
        clock = time.monotonic()
        self._done, self._total = max(done, self._done), total
        if clock - self._reported < REPORT_EVERY and self._done < total:
            return
        self._reported = clock
        self.report(Progress(self._done, total, self._speed(clock)))

    def doing(self, words: str) -> None:
        """Tell in a few words what is done while nothing can be told of how far it is; the next `progress` ends it."""
        self._reported = 0.0
        self.report(Progress(self._done, self._total, self._speed(time.monotonic()), words))

    def _speed(self, clock: float) -> float:
        return self._done / max(clock - self._started, 1e-3)

    def raise_if_cancelled(self) -> None:
        """Raise `Cancelled` if nobody waits for this step any more."""
        if self.is_cancelled():
            raise Cancelled
