"""What each page shows, from the same functions as the API's answers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import quote

from markupsafe import Markup

from core.errors import AmphipodError, BadCall
from core.job_index import JobQuery, JobRow, RowState, parse_states
from core.jobs.detail import JobDetail
from core.model import State, now
from core.queue import monitor, names, workers
from core.redis import connection
from core.storage import job_state
from core.storage.job_folder import JobFolder
from core.web.api import records
from core.web.api.system import Doctor, step_list
from core.web.http.problems import API
from core.web.overview import Queue, Worker, queue_list, worker_list
from core.web.pages import day, forms, story_lines
from core.web.pages.day import Forecast, Fresh
from core.web.player import part, player_context
from core.web.services import Services

#: Rows that the overview shows of what runs, and of what has failed.
_RUNNING, _FAILED = 12, 5

#: Rows of the first page of the list, and of each that follows.
PAGE = 50

#: Dead statements that are shown.
_DEAD = 100

_SINCE = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}

#: Files that nobody fetches one by one.
_PIECES = ("segment", "playlist", "audio_playlist", "part")

Context = dict[str, Any]


class Reason(NamedTuple):
    words: str
    remedy: str


class Views:
    """Reads what pages show; usable by many threads."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._settings = services.settings
        self._doctor = Doctor(services)
        self._day = Fresh(lambda: day.look(services.index))
        self._pace = Fresh(lambda: day.pace(self._day().samples, services.detail, services.manager.steps.specs), 120)
        self._stores = Fresh(lambda: records.store_list(services), 2)
        self._reason = lru_cache(256)(self._read_reason)

    # Overview

    def overview(self) -> Context:
        at_work = self._workers()
        index = self._services.index
        running = index.page(JobQuery(states=(RowState.RUNNING,), limit=_RUNNING)).rows
        failed = index.page(JobQuery(states=(RowState.FAILED,), order="ended", limit=_FAILED)).rows
        stores = self._stores()
        return {
            "counts": index.counts(),
            "oldest": min((line.oldest for line in index.lines() if line.oldest), default=None),
            "running": running,
            "failed": failed,
            "reasons": {row.id: self._reason(row.id, row.run, row.reason or "") for row in failed},
            "workers": at_work,
            "faulty": [one for one in at_work if one.fault],
            "unserved": self._unserved(),
            "day": self._day(),
            "forecast": self._forecast(at_work),
            "stores": stores,
            "records_waiting": sum(one.waiting for one in stores),
            "records_dead": sum(one.dead for one in stores),
            "records_wrong": any(one.dead or one.alarm for one in stores),
        }

    def _workers(self) -> list[Worker]:
        return worker_list(self._services) if self._services.has_broker else []

    def _unserved(self) -> list[dict[str, Any]]:
        """Return the queues that wait for a worker: `{queue, messages}`."""
        if not self._services.has_broker:
            return []
        with connection.errors(self._settings):
            client = connection.shared(self._settings)
            return monitor.unserved(client, workers.alive(client))

    def _forecast(self, at_work: Sequence[Worker]) -> list[Forecast]:
        lines = self._services.index.lines()
        if not at_work or not any(line.jobs for line in lines):
            return []
        return day.forecast(lines, self._pace(), at_work)

    def _read_reason(self, job: str, _run: int, words: str) -> Reason:
        """Return why a job has failed, and the remedy, which a row does not have."""
        try:
            found = self._services.detail(job)
        except AmphipodError:
            return Reason(words, "")
        return Reason(found.reason or words, found.remedy or "")

    # Jobs

    def jobs(self, asked: Mapping[str, str]) -> Context:
        """Return a page of the list; what a person has changed in an address by hand is left out where it is wrong."""
        query = JobQuery(
            states=_states(asked.get("state", "")),
            queue=asked.get("queue") or None,
            step=asked.get("step") or None,
            text=asked.get("q", "")[:200],
            since=now() - _SINCE[asked["since"]] if asked.get("since") in _SINCE else None,
            cursor=asked.get("cursor") or None,
            limit=_limit(asked.get("limit", "")),
        )
        names = ("q", "state", "step", "since", "queue")
        return {
            "page": self._services.index.page(query),
            "query": query,
            "asked": {name: asked.get(name, "") for name in names} | {"any": any(asked.get(name) for name in names)},
            "steps": tuple(self._services.manager.steps.specs),
        }

    # A job

    def job(self, job: str, least: str) -> Context:
        """Return all about a job.

        Raises:
            UnknownJob
        """
        found = self._services.detail(job)
        lines = story_lines.read(JobFolder(self._settings.jobs_root, job), least)
        traces = [line.exception for line in lines if line.exception]
        return {
            "job": found,
            "files": [one for one in found.files if one.kind not in _PIECES],
            "hidden_files": [one for one in found.files if one.kind in _PIECES],
            "published": _published(found),
            "story": lines[-story_lines.MOST :],
            "story_more": len(lines) > story_lines.MOST,
            "least": least,
            "trace": traces[-1] if traces else "",
        }

    def player(self, job: str, found: JobDetail, *, base: str, language: str) -> tuple[Markup, str]:
        """Return what plays a job's files, and what changes with them; nothing where there is nothing to play."""
        if not found.files:
            return Markup(), ""
        whole = job_state.fold(JobFolder(self._settings.jobs_root, job))
        film = player_context(whole, f"{base}{API}/jobs/{quote(job)}/files", title=found.row.title)
        if not film.has_media and not film.transcripts:
            return Markup(), ""
        key = f"{found.row.run}.{len(film.streams)}.{len(film.files)}.{len(film.transcripts)}.{len(film.captions)}"
        return part(film, static_url=f"{base}/static", language=language), key

    # Workers

    def workers(self) -> Context:
        at_work = self._workers()
        index = self._services.index
        rows = {row.id: row for row in index.rows(sorted({job.job for one in at_work for job in one.jobs}))}
        running: Sequence[JobRow] = ()
        if not self._services.has_broker:
            running = index.page(JobQuery(states=(RowState.RUNNING,), limit=_RUNNING)).rows
        found = queue_list(self._services, at_work)
        return {
            "workers": [_worker(one, rows) for one in at_work],
            "unserved": self._unserved(),
            "queues": [_queue(one, at_work) for one in found if _is_worth_a_line(one)],
            "forecast": self._forecast(at_work),
            "running": running,
        }

    # Records

    def records(self, store: str) -> Context:
        dead = records.dead_list(self._services, store, _DEAD + 1) if store else []
        return {
            "stores": self._stores(),
            "store": store,
            "dead": [_letter(one) for one in dead[:_DEAD]],
            "dead_more": len(dead) > _DEAD,
        }

    # Health

    def health(self) -> Context:
        findings = self._doctor.report().findings
        return {
            "wrong": [one for one in findings if one.ok is False],
            "right": [one for one in findings if one.ok is not False and not one.subject.startswith("plugin ")],
            "plugins": self._services.manager.infos,
        }

    # Submit

    def submit(self) -> Context:
        steps = [forms.of_step(one) for one in step_list(self._services)]
        profile = next((field for step in steps for field in step.fields if field.name == "profile"), None)
        return {
            "available": [step.model_copy(update={"fields": _without_profile(step.fields)}) for step in steps],
            "profiles": profile.examples if profile else (),
        }


def _without_profile(fields: Sequence[forms.Field]) -> tuple[forms.Field, ...]:
    return tuple(field for field in fields if field.name != "profile" or not field.examples)


def _states(word: str) -> tuple[RowState, ...]:
    try:
        return parse_states([word]) if word else ()
    except BadCall:
        return ()


def _limit(text: str) -> int:
    return min(max(int(text), 1), 500) if text.isascii() and text.isdigit() and len(text) < 5 else PAGE


def _published(job: JobDetail) -> dict[str, str]:
    """Return how far publishing is: what committed stays published, whatever failed after it."""
    row = job.row
    if not row.state.is_final:
        is_at_it = row.step == "finish" and row.state is RowState.RUNNING
        return {"state": State.RUNNING if is_at_it else State.WAITING, "word": ""}
    if job.files and row.state is not RowState.CANCELLED:
        return {"state": State.SUCCEEDED, "word": ""}
    return {"state": State.CANCELLED, "word": "nothing"}


def _worker(one: Worker, rows: Mapping[str, JobRow]) -> dict[str, Any]:
    """Return a worker with the rows of the jobs that it is at, and words for what else it does."""
    names = dict.fromkeys(job.job for job in one.jobs if job.job in rows)
    others = [f"{job.step} {job.job}" for job in one.jobs if job.job not in rows]
    return {**one.model_dump(exclude={"jobs"}), "rows": [rows[name] for name in names], "busy": others}


def _is_worth_a_line(one: Queue) -> bool:
    return "." not in one.name or bool(one.jobs or one.messages or one.delayed or one.dead)


def _queue(one: Queue, at_work: Sequence[Worker]) -> dict[str, Any]:
    bare = names.bare(one.name)
    hosts = sorted({worker.host for worker in at_work if bare in worker.queues and not worker.fault})
    return {**one.model_dump(), "bare": bare, "hosts": hosts}


def _letter(one: records.Dead) -> dict[str, Any]:
    is_object = isinstance(one.statement, dict)
    return {
        "words": one.words,
        "at": datetime.fromisoformat(one.at),
        "id": str(one.statement.get("id", "")) if is_object else "",
        "text": json.dumps(one.statement, indent=2, ensure_ascii=False) if is_object else str(one.statement),
    }
