"""The pages' addresses: what is shown, and what a person does there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any, Literal

from babel import Locale
from fastapi import APIRouter, Depends, FastAPI, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from core.errors import AmphipodError
from core.jobs import removal
from core.web import auth
from core.web.api import records
from core.web.auth import require
from core.web.http import problems
from core.web.http.problems import Refusal
from core.web.pages import actions, environment, languages, rendering, submitting
from core.web.pages.actions import Action
from core.web.pages.rendering import Renderer, back, link, remember, say
from core.web.pages.views import Views
from core.web.services import Services

#: Whatever else is served below /static: the player and its libraries, where they were built.
_STATIC = environment.STATIC.parents[1] / "static"

Text = Annotated[str, Form()]


class _Files(StaticFiles):
    """Files whose address has a digest of them: browsers need not ask again."""

    def file_response(self, full_path: Any, stat_result: Any, scope: Scope, status_code: int = 200) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        lasting = scope.get("query_string")
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if lasting else "no-cache"
        return response


def install(app: FastAPI, services: Services) -> None:
    """Add the pages to the application, and have errors shown as pages."""
    renderer = Renderer(services)
    app.mount(environment.STATIC_PATH, _Files(directory=environment.STATIC), name="static-pages")
    app.mount("/static", _Files(directory=_STATIC, check_dir=False), name="static")
    app.include_router(_shown(services, renderer), include_in_schema=False)
    app.include_router(_done(services), include_in_schema=False)
    app.include_router(_submitted(services, renderer), include_in_schema=False)
    app.include_router(_sessions(services, renderer), include_in_schema=False)
    app.state.error_page = renderer.error


def _shown(services: Services, renderer: Renderer) -> APIRouter:
    routes = APIRouter(dependencies=[Depends(require("read"))], default_response_class=HTMLResponse)
    views = Views(services)

    @routes.get("/")
    def overview(request: Request) -> HTMLResponse:
        return renderer.page(request, "overview.html", views.overview(), events="/api/v1/events")

    @routes.get("/jobs")
    def jobs(request: Request) -> HTMLResponse:
        asked = dict(request.query_params)
        context = views.jobs(asked)
        cursor = context["page"].next_cursor
        context["next_page"] = link(request, "/jobs", **asked | {"cursor": cursor, "limit": ""}) if cursor else ""
        return renderer.page(request, "jobs.html", context, events="/api/v1/events")

    @routes.get("/jobs/{job}")
    def one_job(request: Request, job: str, level: str = "info") -> HTMLResponse:
        least = level if level in ("info", "warning", "error") else "info"
        context = views.job(job, least)
        player, key = views.player(
            job, context["job"], base=rendering.base(request), language=rendering.language(request)
        )
        context |= {"player": player, "player_key": key}
        return renderer.page(request, "job.html", context, events=f"/api/v1/jobs/{job}/events")

    @routes.get("/workers")
    def workers(request: Request) -> HTMLResponse:
        return renderer.page(request, "workers.html", views.workers(), events="/api/v1/events")

    @routes.get("/records")
    def records(request: Request, store: str = "") -> HTMLResponse:
        return renderer.page(request, "records.html", views.records(store))

    @routes.get("/health")
    def health(request: Request) -> HTMLResponse:
        return renderer.page(request, "health.html", views.health())

    return routes


def _done(services: Services) -> APIRouter:
    routes = APIRouter()
    work = services.work
    does: dict[Action, Callable[[str], None]] = {
        "cancel": work.cancel,
        "retry": work.retry,
        "tell": work.tell,
        "delete": partial(removal.remove, services.settings),
    }

    def act(
        request: Request, action: Action, do: Callable[[str], None], jobs: Sequence[str], response: RedirectResponse
    ) -> RedirectResponse:
        done, refused = actions.each(do, jobs)
        for job in jobs:
            services.hub.changed(job)
        return say(request, response, *actions.words(rendering.language(request), action, done, refused))

    @routes.post("/jobs/{action}", dependencies=[Depends(require("manage"))])
    def several(
        request: Request,
        action: Literal["cancel", "retry"],
        job: Annotated[list[str] | None, Form()] = None,
        then: Text = "",
    ) -> RedirectResponse:
        return act(request, action, does[action], job or (), back(request, then, "/jobs"))

    @routes.post("/jobs/{job}/{action}", dependencies=[Depends(require("manage"))])
    def one(request: Request, job: str, action: Action, then: Text = "", step: Text = "") -> RedirectResponse:
        do = partial(work.retry, step=step) if action == "retry" and step else does[action]
        return act(request, action, do, [job], back(request, then, f"/jobs/{job}"))

    @routes.post("/records/{store}/{action}", dependencies=[Depends(require("manage"))])
    def statements(request: Request, store: str, action: Literal["retry", "drop"]) -> RedirectResponse:
        do = records.retry_dead if action == "retry" else records.drop_dead
        words = actions.statement_words(rendering.language(request), action, do(services, store, None))
        return say(request, back(request, "", "/records"), words)

    return routes


def _submitted(services: Services, renderer: Renderer) -> APIRouter:
    routes = APIRouter(dependencies=[Depends(require("submit"))])
    views = Views(services)

    def page(request: Request, form: FormData | None, error: AmphipodError | None) -> HTMLResponse:
        locale = Locale(rendering.language(request))
        spoken = sorted((locale.languages.get(code, code), code) for code in submitting.SPOKEN)
        context = views.submit() | {
            "spoken": [(code, name) for name, code in spoken],
            "given": submitting.given(services.settings, form),
            "wrong": error,
        }
        return renderer.page(request, "submit.html", context, status=problems.status_of(error) if error else 200)

    @routes.get("/submit")
    def form(request: Request) -> HTMLResponse:
        return page(request, None, None)

    @routes.post("/submit")
    async def submit(request: Request) -> Response:
        submitting.check_size(services.settings, request.headers.get("content-length", ""))
        async with request.form() as form:
            try:
                jobs = await run_in_threadpool(submitting.submit, services, form)
            except AmphipodError as error:
                return await run_in_threadpool(page, request, form, error)
        return back(request, "", f"/jobs/{jobs[0]}" if len(jobs) == 1 else "/jobs")

    return routes


def _sessions(services: Services, renderer: Renderer) -> APIRouter:
    routes = APIRouter()

    @routes.get("/login")
    def login(request: Request, then: str = "") -> HTMLResponse:
        return renderer.page(request, "login.html", {"then": then, "wrong": ""})

    @routes.post("/login")
    def open_session(request: Request, token: Text = "", then: Text = "") -> Response:
        response = back(request, then, "/")
        try:
            auth.open_session(request, response, services.tokens, token)
        except Refusal as error:
            return renderer.page(request, "login.html", {"then": then, "wrong": error.message}, status=error.status)
        return response

    @routes.post("/logout")
    def close_session(request: Request) -> RedirectResponse:
        response = back(request, "", "/login")
        auth.close_session(request, response)
        return response

    @routes.post("/preferences")
    def preferences(request: Request, then: Text = "", language: Text = "", theme: Text = "") -> RedirectResponse:
        response = back(request, then, "/")
        if language in languages.LANGUAGES:
            remember(request, response, rendering.LANGUAGE, language)
        if theme in (*rendering.THEMES, "auto"):
            remember(request, response, rendering.THEME, theme if theme != "auto" else "")
        return response

    return routes
