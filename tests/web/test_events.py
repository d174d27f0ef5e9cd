"""Events: what changes is told to all who listen, and only what they asked for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import requests

from core.web import tokens

from ..service.conftest import until
from .conftest import Listener, Site

Listen = Callable[..., Listener]


def test_a_job_s_way_is_heard_by_all_and_its_own_listener(site: Site, listen: Listen) -> None:
    everything, other = listen(site), listen(site)
    job = site.submit(sleep=1.5)
    own = listen(site, f"/jobs/{job}/events")
    another = site.submit()
    for listener in (everything, other):
        for one in (job, another):
            until(
                lambda: any(row["id"] == one and row["state"] == "succeeded" for row in listener.named("job")),  # noqa: B023
                what="the end is heard",
            )
    rows = [row for row in everything.named("job") if row["id"] == job]
    assert any(row["progress"] and 0 < row["progress"]["done"] < 1.5 for row in rows), "how far it is"
    until(lambda: own.named("job") and own.named("job")[-1]["state"] == "succeeded", what="its own listener, too")
    assert {row["id"] for row in own.named("job")} == {job}
    until(lambda: any(one["counts"]["done"] == 2 for one in everything.named("service")), what="the counts")


def test_a_deleted_job_is_told(site: Site, listen: Listen) -> None:
    job = site.submit()
    site.wait(job, "succeeded")
    listener = listen(site)
    until(lambda: site("DELETE", f"/jobs/{job}").status_code == 204, what="its manifest is written, and it goes")
    until(lambda: {"id": job} in listener.named("removed"), what="it is told")


def test_a_stream_ends_with_the_server_and_with_its_token(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    from core.web import events

    monkeypatch.setattr(events, "_HEARTBEAT", 0.2)
    kept, text = tokens.create(site.services.settings.jobs_root, "read")
    headers = {"Authorization": f"Bearer {text}"}
    with requests.get(f"{site.url}/api/v1/events", headers=headers, stream=True, timeout=20) as answer:
        assert answer.status_code == 200
        tokens.create(site.services.settings.jobs_root, "read")
        tokens.revoke(site.services.settings.jobs_root, kept.id)
        assert b"retry" in b"".join(answer.iter_content(64)), "the stream came to an end"


def test_whoever_listens_to_a_job_that_is_not_there_is_told(site: Site) -> None:
    assert site.refused("GET", "/jobs/none/events")[0] == 404
