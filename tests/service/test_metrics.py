"""What Prometheus reads of a real server and a real worker, and whether rules and dashboard ask for what is there."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from core import jobs
from core.settings import Settings

from .conftest import RedisServer, Submit, until

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples/monitoring"

#: Words of PromQL that are no metric of ours.
_NAME = re.compile(r"\b(?:amphipod_[a-z_]+|up)\b")
_LABELS = re.compile(r"\b(amphipod_[a-z_]+)\{([^}]*)\}")


@dataclass
class Scraped:
    families: dict[str, Metric]

    def value(self, name: str, **labels: str) -> float:
        samples = [one for family in self.families.values() for one in family.samples if one.name == name]
        found = [one.value for one in samples if labels.items() <= one.labels.items()]
        assert len(found) == 1, (name, labels, samples)
        return found[0]

    @property
    def names(self) -> dict[str, set[str]]:
        """The names of all samples, each with its labels."""
        found: dict[str, set[str]] = {}
        for family in self.families.values():
            for one in family.samples:
                found.setdefault(one.name, set()).update(one.labels)
            if not family.samples:
                found.setdefault(family.name, set())
        return found


def scrape(url: str) -> Scraped:
    answer = requests.get(url, timeout=10)
    assert answer.status_code == 200, answer.text
    return Scraped({one.name: one for one in text_string_to_metric_families(answer.text)})


@dataclass
class Service:
    server: str
    worker: str


@pytest.fixture
def told(toy_service: Settings, tmp_path: Path) -> Iterator[Service]:
    """`amphipod serve` and `amphipod worker --metrics-port`; where each answers Prometheus."""
    log = tmp_path / "log"
    commands = (["serve", "--port", "0"], ["worker", "encoding", "callbacks", "--metrics-port", "0"])
    with log.open("wb") as file:
        processes = [
            subprocess.Popen([sys.executable, "-m", "core.cli", *words], stderr=file, stdout=file) for words in commands
        ]

    def both() -> Service | None:
        text = log.read_text()
        server = re.search(r"(http://127.0.0.1:\d+)/?(?!metrics)\s", text)
        worker = re.search(r"metrics at (\S+)", text)
        ready = text.count("ready for action") == 2
        return Service(f"{server[1]}/metrics", worker[1]) if server and worker and ready else None

    found = until(both, within=40, what="server and worker start")
    assert isinstance(found, Service)
    yield found
    for process in processes:
        process.send_signal(signal.SIGTERM)
    for process in processes:
        process.wait(30)


def end(settings: Settings, job: str, state: str) -> None:
    until(lambda: jobs.status(job, settings=settings).state == state, within=40, what=f"{job} has {state}")


@pytest.mark.long
def test_numbers_are_those_of_what_was_done_and_no_panel_or_rule_asks_for_others(
    told: Service, toy_service: Settings, submit: Submit, redis_server: RedisServer
) -> None:
    end(toy_service, submit(write="x", key="good"), "succeeded")
    end(toy_service, submit(refuse="no film", key="bad"), "failed")
    end(toy_service, submit(kill="SIGKILL", key="killed"), "failed")

    until(lambda: scrape(told.worker).value("amphipod_slots_taken") == 0, what="the last slot is given back")
    worker, server = scrape(told.worker), scrape(told.server)
    attempts = toy_service.step_attempts
    assert worker.value("amphipod_step_attempts_total", step="encode") == 2 + attempts
    assert worker.value("amphipod_step_seconds_count", step="encode", engine="toy") == 1
    assert worker.value("amphipod_step_failures_total", step="encode", kind="BadSource") == 1
    assert worker.value("amphipod_step_failures_total", step="encode", kind="StepCrashed") == 1
    assert worker.value("amphipod_slots", queue="encoding") == 1
    assert worker.value("amphipod_disk_free_bytes", folder=str(toy_service.jobs_root)) > 0
    assert (server.value("amphipod_jobs", state="done"), server.value("amphipod_jobs", state="failed")) == (1, 2)
    assert server.value("amphipod_queue_served", queue="encoding") == 1
    assert server.value("amphipod_queue_served", queue="transcripting") == 0
    assert server.value("amphipod_workers") == 2
    assert server.value("amphipod_redis_up") == 1

    _check_questions(server.names, worker.names)

    redis_server.kill()
    assert scrape(told.server).value("amphipod_redis_up") == 0


def _check_questions(*scraped: dict[str, set[str]]) -> None:
    there: dict[str, set[str]] = {"up": {"job", "instance"}}
    for names in scraped:
        for name, labels in names.items():
            there.setdefault(name, set()).update(labels)
    known = set(there) | {f"amphipod_{one}" for one in _ONLY_LATER}
    panels = json.loads((EXAMPLES / "grafana.json").read_text())["panels"]
    asked = [target["expr"] for panel in panels for target in panel["targets"]]
    asked += re.findall(r"expr: (.+)", (EXAMPLES / "alerts.yml").read_text())
    assert len(asked) > 25
    for question in asked:
        for name in _NAME.findall(question):
            assert name in known, question
        for name, labels in _LABELS.findall(question):
            assert set(re.findall(r"(\w+)=", labels)) <= there[name], question
    table = set(re.findall(r"^\| `(amphipod_\w+)", (ROOT / "docs/monitoring.md").read_text(), re.MULTILINE))
    families = {re.sub(r"_(bucket|count|sum|created)$", "", name) for name in there if name != "up"}
    assert families - table == set(), "write these down in docs/monitoring.md"
    assert table - families - {f"amphipod_{one}" for one in _ONLY_LATER} == set(), "these are no longer told"


#: What has no value before a portal was told, or a statement came.
_ONLY_LATER = (
    "callback_tries_total",
    "statements_waiting",
    "statements_on_disk",
    "statements_dead",
    "statements_sent_total",
    "store_alarm",
    "step_media_seconds_total",
    "step_speed_ratio",
    "step_speed_ratio_bucket",
)


def test_a_worker_without_a_free_port_says_so(toy_service: Settings) -> None:
    command = [sys.executable, "-m", "core.cli", "worker", "encoding", "--metrics-port", "x"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert "--metrics-port x: not a port: name a free port" in done.stderr


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool, of Debian's prometheus, is not installed")
def test_prometheus_takes_configuration_and_rules() -> None:
    for what, file in (("rules", "alerts.yml"), ("config", "prometheus.yml")):
        flags = ["--syntax-only"] if what == "config" else []
        done = subprocess.run(["promtool", "check", what, *flags, EXAMPLES / file], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
