"""What our university wants otherwise than Amphipod does it."""

from collections.abc import Mapping
from typing import Any

import structlog

from core import Job, Manifest, hookimpl

RENDITIONS = [{"height": 240, "max_rate": "400k"}, {"height": 540, "max_rate": "1500k", "crf": 22}]


@hookimpl
def step_options(step: str) -> Mapping[str, Any] | None:
    return {"renditions": RENDITIONS} if step == "encode" else None


@hookimpl
def job_published(job: Job, manifest: Manifest) -> None:
    files = [artifact.path for artifact in manifest.find("rendition")]
    structlog.get_logger().info("lecture published", lecture=job.source.path.name, files=files)
