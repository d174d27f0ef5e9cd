"""A page that lists the operations, from the application's own description; it needs no script and no other host."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from core.web.services import Services

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<main><h1>{title}</h1>
<p>All of it for programs: <a href="{root}/openapi.json">openapi.json</a> (OpenAPI 3.1). Errors are problem documents
(RFC 9457). Send a token of <code>amphipod token create</code> as <code>Authorization: Bearer TOKEN</code>.</p>
{operations}</main></html>
"""


def router(services: Services) -> APIRouter:  # noqa: ARG001  # as the others
    routes = APIRouter()

    @routes.get("/docs", include_in_schema=False)
    def docs(request: Request) -> HTMLResponse:
        schema = request.app.openapi()
        found = "\n".join(_operations(schema))
        root = escape(request.scope.get("root_path", ""))
        return HTMLResponse(
            _PAGE.format(title=f"Amphipod {schema['info']['version']}: API", root=root, operations=found)
        )

    return routes


def _operations(schema: dict[str, Any]) -> Iterator[str]:
    for path, methods in schema["paths"].items():
        for method, about in methods.items():
            yield f"<h2><code>{method.upper()} {escape(path)}</code></h2>"
            yield f"<p>{escape(about.get('description') or about.get('summary', ''))}</p>"
            if rows := [_parameter(one) for one in about.get("parameters", ())]:
                yield f"<ul>{''.join(rows)}</ul>"


def _parameter(one: dict[str, Any]) -> str:
    due = ", needed" if one.get("required") else ""
    words = f": {escape(one['description'])}" if one.get("description") else ""
    return f"<li><code>{escape(one['name'])}</code> ({one['in']}{due}){words}</li>"
