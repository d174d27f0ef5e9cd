"""What the routes work with."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.job_index import JobIndex, JobQuery, open_index
from core.jobs.detail import JobDetail
from core.jobs.detail import detail as detail_of
from core.pipeline.planning import Host
from core.plugin_host.manager import Manager
from core.settings import Settings
from core.web.events import UNSETTLED, Hub, RedisReader
from core.web.local.index import LocalIndex
from core.web.local.worker import LocalWorker
from core.web.overview import overview
from core.web.tokens import TokenFile
from core.web.work import JobService, QueuedWork

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from core.job_index import JobRow


@dataclass
class Services:
    """One for each application."""

    settings: Settings
    manager: Manager

    def __post_init__(self) -> None:
        self.host = Host(self.settings, self.manager)
        self.tokens = TokenFile(self.settings.jobs_root)
        self.hub = Hub(self._rows, self._unsettled, self._overview)
        folder = open_index(self.settings)
        #: Does the jobs where there is no broker.
        self.local: LocalWorker | None = None
        self.index: JobIndex = folder
        self.work: JobService = QueuedWork(self.settings)
        if not self.has_broker:
            self.local = self.work = LocalWorker(self.host, self.hub.changed)
            self.index = LocalIndex(folder, self.local)

    @property
    def has_broker(self) -> bool:
        """Whether workers do the jobs; else this process does."""
        return self.settings.broker_url is not None

    def detail(self, job: str) -> JobDetail:
        """Tell all about a job.

        Raises:
            UnknownJob, OutOfReach
        """
        found = detail_of(job, settings=self.settings)
        if self.local is None:
            return found
        row = next(iter(self.index.rows([job])), found.row)
        far = row.progress
        steps = tuple(
            one.model_copy(update={"progress": far, "seconds_left": far.seconds_left, "host": far.host})
            if far and one.name == row.step
            else one
            for one in found.steps
        )
        return found.model_copy(update={"row": row, "steps": steps, "place": self.index.place(row)})

    def _rows(self, jobs: Sequence[str]) -> list[JobRow]:
        return self.index.rows(jobs)

    def _unsettled(self) -> list[str]:
        return [row.id for row in self.index.page(JobQuery(states=UNSETTLED, limit=500)).rows]

    def _overview(self) -> object:
        return overview(self).model_dump(mode="json")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Have events told and, without a broker, jobs done, for the block.

        Raises:
            BadCall: another `amphipod serve` does the jobs of this folder.
        """
        reader = RedisReader(self.settings, self.hub) if self.has_broker else None
        if self.local:
            self.local.start()
        if reader:
            reader.start()
        self.hub.start()
        try:
            yield
        finally:
            await self.hub.stop()
            if reader:
                reader.stop()
            if self.local:
                self.local.stop()

    def close(self) -> None:
        """End what would keep the server from ending; may be called by a signal's handler."""
        self.hub.close()
