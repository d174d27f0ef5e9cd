"""Who is let in, to do what."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
import requests

from core.model import now
from core.settings import Settings
from core.web import tokens
from core.web.tokens import SCOPES, Scope

from ..conftest import InstallPlugin
from .conftest import OpenSite, Site

#: One operation of each kind, and the least scope that may do it.
OPERATIONS: tuple[tuple[str, str, Scope], ...] = (
    ("GET", "/jobs", "read"),
    ("GET", "/jobs/none", "read"),
    ("GET", "/jobs/none/story", "read"),
    ("GET", "/jobs/none/files", "read"),
    ("GET", "/jobs/none/files/a.mp4", "read"),
    ("GET", "/jobs/none/events", "read"),
    ("GET", "/overview", "read"),
    ("GET", "/queues", "read"),
    ("GET", "/workers", "read"),
    ("GET", "/stores", "read"),
    ("GET", "/plugins", "read"),
    ("GET", "/doctor", "read"),
    ("GET", "/steps", "read"),
    ("POST", "/jobs", "submit"),
    ("POST", "/uploads", "submit"),
    ("PATCH", "/uploads/none", "submit"),
    ("GET", "/uploads/none", "submit"),
    ("DELETE", "/uploads/none", "submit"),
    ("POST", "/jobs/none/cancel", "manage"),
    ("POST", "/jobs/none/retry", "manage"),
    ("POST", "/jobs/none/tell", "manage"),
    ("DELETE", "/jobs/none", "manage"),
    ("POST", "/stores/lrs/dead/retry", "manage"),
    ("POST", "/stores/lrs/dead/drop", "manage"),
)


def test_a_scope_does_what_it_says_and_nothing_more(site: Site) -> None:
    made = {scope: site.token(scope) for scope in SCOPES}
    for method, path, needed in OPERATIONS:
        assert site.refused(method, path)[0] == 401, (method, path)
        for scope, token in made.items():
            status = site(method, path, token=token).status_code
            if tokens.allows(scope, needed):
                assert status not in (401, 403), (method, path, scope)
            else:
                status, words = site.refused(method, path, token=token)
                assert status == 403
                assert f"may {scope}, not {needed}" in words


def test_each_operation_of_the_api_is_among_those(site: Site) -> None:
    described = site.session.get(f"{site.url}/openapi.json", timeout=20).json()["paths"]
    listed = {
        (method, path.replace("none", "{}").replace("lrs", "{}").replace("a.mp4", "{}"))
        for method, path, _ in OPERATIONS
    }
    for path, methods in described.items():
        for method in methods:
            found = (method.upper(), re.sub(r"\{\w+(:path)?\}", "{}", path.removeprefix("/api/v1")))
            read_only = method == "get" and found[1].startswith(("/stores/", "/events", "/version"))
            assert found in listed or read_only, found


def test_without_a_token_only_this_machine_is_answered(site: Site) -> None:
    assert site("GET", "/jobs").status_code == 200
    status, words = site.refused("GET", "/jobs", headers={"Host": "amphipod.example"})
    assert (status, "amphipod token create" in words) == (403, True), "a name of elsewhere that was made to lead here"
    assert site.refused("GET", "/jobs", headers={"X-Forwarded-For": "1.2.3.4"})[0] == 403, "a proxy passes it on"
    assert site.refused("POST", "/jobs", headers={"Origin": "http://evil.example"})[0] == 403


def test_a_name_of_this_machine_may_have_any_port(site: Site) -> None:
    for host in ("localhost:1234", "127.0.0.1", "[::1]:80"):
        assert site("GET", "/jobs", headers={"Host": host}).status_code == 200


def test_an_expired_or_revoked_token_is_refused(site: Site) -> None:
    old = site.token("read", expires_at=now() - timedelta(days=1))
    assert site.refused("GET", "/jobs", token=old)[0] == 401
    fresh = site.token("read")
    assert site("GET", "/jobs", token=fresh).status_code == 200
    tokens.revoke(site.services.settings.jobs_root, fresh.split("_")[1])
    assert site.refused("GET", "/jobs", token=fresh)[0] == 401


def test_a_browser_s_cookie_stands_for_its_token_but_not_on_other_sites_pages(site: Site) -> None:
    cookie = {"amphipod_token": site.token("manage")}
    assert site("GET", "/jobs", cookies=cookie).status_code == 200
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        assert site.refused("POST", "/jobs/none/cancel", cookies=cookie, headers=headers)[0] == 403
    assert site("POST", "/jobs/none/cancel", cookies=cookie, headers={"Origin": site.url}).status_code == 404


def test_a_client_that_asks_too_often_is_put_off(open_site: OpenSite, here: Settings) -> None:
    site = open_site(here.model_copy(update={"web_rate": 0.5}))
    answers = [site("GET", "/version") for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert int(answers[-1].headers["Retry-After"]) >= 1


def test_answers_tell_browsers_what_to_refuse(site: Site) -> None:
    for answer in (site("GET", "/version"), site("GET", "/nothing"), site("GET", "/jobs", headers={"Host": "x"})):
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("trusted", [True, False])
def test_a_trusted_proxy_says_where_we_are(open_site: OpenSite, here: Settings, trusted: bool) -> None:
    site = open_site(here.model_copy(update={"web_trusted_proxies": ("127.0.0.1" if trusted else "10.0.0.1",)}))
    token = site.token("submit")
    headers = {"X-Forwarded-Prefix": "/video", "X-Forwarded-For": "1.2.3.4"}
    answer = site(
        "POST", "/jobs", token=token, json={"source": {"path": "a.mp4"}, "steps": ["encode"]}, headers=headers
    )
    assert answer.headers["Location"] == f"{'/video' if trusted else ''}/api/v1/jobs/{answer.json()['id']}"


def test_the_prefix_may_also_be_said_at_the_start(open_site: OpenSite, here: Settings) -> None:
    site = open_site(here, root_path="/video")
    assert requests.get(f"{site.url}/video/api/v1/version", timeout=20).status_code == 200
    assert requests.get(f"{site.url}/api/v1/version", timeout=20).status_code == 200
    page = requests.get(f"{site.url}/api/v1/docs", timeout=20).text
    assert 'href="/video/openapi.json"' in page
    assert "http" not in page.replace("http-equiv", ""), "no asset of elsewhere"


ROUTES = """
    from fastapi import Depends
    from core import hookimpl
    from core.web.auth import require

    @hookimpl
    def register_routes(app):
        app.get("/statistics")(lambda: {"lectures": 3})
        app.get("/reset", dependencies=[Depends(require("manage"))])(lambda: {})
        app.get("/jobs")(lambda: "not ours any more")
"""


def test_a_plugin_s_address_asks_for_a_token_as_ours_do_and_takes_none_of_ours(
    open_site: OpenSite, here: Settings, install_plugin: InstallPlugin
) -> None:
    install_plugin("statistics", ROUTES)
    site = open_site(here.model_copy(update={"plugins_only": (*here.plugins_only, "statistics")}))
    read = {"Authorization": f"Bearer {site.token('read')}"}
    assert requests.get(f"{site.url}/statistics", timeout=10).status_code == 401
    assert requests.get(f"{site.url}/statistics", headers=read, timeout=10).json() == {"lectures": 3}
    assert requests.get(f"{site.url}/reset", headers=read, timeout=10).status_code == 403
    assert "not ours" not in requests.get(f"{site.url}/jobs", headers=read, timeout=10).text
