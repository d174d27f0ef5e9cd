"""What `amphipod doctor` looks at on a host that serves an Esup-Pod."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlsplit

from core.errors import AmphipodError
from core.findings import Finding
from core.http import client
from core.pod import parking, remedies
from core.settings import Settings
from core.storage.files import host_name

#: What the root of Esup-Pod's API lists, among much else (pod/main/rest_router.py).
_RESOURCE = "videos"

#: First letters of the jobs that each of Esup-Pod's generations gives us.
_OF_MESSAGES, _OF_RUNNER_MANAGERS = "pod-", "run-"


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at what is set, and at what jobs and messages show to be needed."""
    if settings.pod_api_url:
        yield _api(settings)
    elif _has_jobs(settings, _OF_MESSAGES) and _tells_portals(settings):
        words = "Esup-Pod can't be told of its jobs: set POD_API_URL and POD_API_TOKEN on hosts of `callbacks`"
        yield Finding("Esup-Pod", ok=False, words=words)
    yield from _runner_managers(settings)
    yield from _parked(settings)


def _api(settings: Settings) -> Finding:
    """Ask Esup-Pod's API for its root, as whoever the token is."""
    address = settings.pod_api_url or ""
    subject = f"Esup-Pod {address}"
    if settings.pod_api_token is None:
        return Finding(subject, ok=False, words="no token: set POD_API_TOKEN")
    token = f"Token {settings.pod_api_token.get_secret_value()}"
    answer = client.get(f"{address.rstrip('/')}/", {"Authorization": token}, settings)
    resources = answer.json()
    if answer.status == 200 and isinstance(resources, dict) and _RESOURCE in resources:
        return Finding(subject, ok=True, words="answers")
    if answer.status == 200:
        return Finding(subject, ok=False, words=f"what answers is not its API: {remedies.ADDRESS}")
    # Without an answer too its form tells that it won't do.
    looks_right = urlsplit(address).path.rstrip("/").endswith("/rest")
    remedy = remedies.remedy_of(answer) if looks_right else remedies.ADDRESS
    return Finding(subject, ok=False, words=f"{answer.words}: {remedy}" if remedy else answer.words)


def _runner_managers(settings: Settings) -> Iterator[Finding]:
    subject = "runner manager of Esup-Pod"
    if settings.runner_token:
        yield Finding(subject, ok=True, words="has its token")
    elif (settings.runner_hosts or _has_jobs(settings, _OF_RUNNER_MANAGERS)) and _tells_portals(settings):
        hosts = "on hosts of `callbacks` and of `amphipod serve`"
        words = f"Esup-Pod is not notified of its tasks: set AMPHIPOD_RUNNER_TOKEN {hosts}"
        yield Finding(subject, ok=False, words=words)


def _parked(settings: Settings) -> Iterator[Finding]:
    if count := sum(1 for _ in parking.parked(settings)):
        words = f"{count} could not be acted on: see `amphipod pod parked`, then try again or remove their files"
        yield Finding("messages of Esup-Pod", ok=False, words=words)


def _has_jobs(settings: Settings, beginning: str) -> bool:
    return next((settings.jobs_root / "jobs").glob(f"{beginning}*"), None) is not None


def _tells_portals(settings: Settings) -> bool:
    """Tell whether this host has to do with portals: its workers serve `callbacks`, or none of them runs yet."""
    from core.queue import workers
    from core.redis import connection

    with suppress(AmphipodError), connection.opened(settings) as client:
        ours = [worker for worker in workers.alive(client) if worker["host"] == host_name()]
        return not ours or any("callbacks" in worker["queues"] for worker in ours)
    return True
