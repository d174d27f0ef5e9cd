"""What examples/kubernetes sets, calls and asks for is there: settings, commands and options, metrics, volumes."""

from __future__ import annotations

import re
from typing import Any

from mkdocs.utils.yaml import yaml_load

from core.settings import Settings
from core.settings.reading import POD_NAMES
from tools.docs import reference

from .conftest import DOCS, ROOT

FOLDER = ROOT / "examples/kubernetes"


def objects(name: str) -> list[dict[str, Any]]:
    return [yaml_load(part) for part in (FOLDER / name).read_text(encoding="utf-8").split("\n---\n")]


def containers() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    pods = [one["spec"]["template"]["spec"] for one in objects("amphipod.yaml") if one["kind"] == "Deployment"]
    return [(pod, container) for pod in pods for container in pod["containers"]]


def test_each_setting_is_one_of_ours() -> None:
    known = {f"AMPHIPOD_{name.upper()}" for name in Settings.model_fields} | {*POD_NAMES, "MEDIA_ROOT"}
    (given,) = (one["data"] for one in objects("amphipod.yaml") if one["kind"] == "ConfigMap")
    single = [
        variable["name"].removesuffix("_FILE") for _, container in containers() for variable in container.get("env", ())
    ]
    assert len(single) == 2
    assert {*given, *single} - known == set()


def test_each_container_calls_what_there_is() -> None:
    known = dict(reference.commands())
    for _, container in containers():
        command, *others = container["args"]
        options = {option for one in known[f"amphipod {command}"].params for option in one.opts}
        assert {word for word in others if word.startswith("--")} <= options


def test_each_mount_has_its_volume() -> None:
    for pod, container in containers():
        volumes = {one["name"] for one in pod["volumes"]}
        assert {one["name"] for one in container["volumeMounts"]} <= volumes


def test_keda_asks_for_metrics_that_there_are_and_scales_what_there_is() -> None:
    (scaled,) = objects("keda.yaml")
    query = scaled["spec"]["triggers"][0]["metadata"]["query"]
    metrics = set(re.findall(r"amphipod_\w+", query))
    page = (DOCS / "monitoring.md").read_text(encoding="utf-8")
    assert metrics
    assert [name for name in metrics if f"| `{name}` |" not in page] == []
    names = [one["metadata"]["name"] for one in objects("amphipod.yaml") if one["kind"] == "Deployment"]
    assert scaled["spec"]["scaleTargetRef"]["name"] in names
