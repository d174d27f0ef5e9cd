"""What the pipeline itself has to say: a lecture was published."""

from __future__ import annotations

from typing import Any

from core import Job, Manifest, Statement

_SHARE = {"id": "http://activitystrea.ms/schema/1.0/share", "display": {"en-US": "shared"}}
_VIDEO = "https://w3id.org/xapi/video/activity-type/video"
_PROFILE = "https://w3id.org/xapi/video"
_LENGTH = "https://w3id.org/xapi/video/extensions/length"

#: Who says so.
_ACTOR = {"objectType": "Agent", "account": {"homePage": "https://amphipod.invalid", "name": "amphipod"}}


def published(job: Job, manifest: Manifest, activity_url: str | None) -> Statement:
    """Return the statement that a job's lecture can now be watched; equal for equal jobs, so that it is stored once."""
    attributes = job.attributes
    default = (activity_url or "urn:amphipod:job:{id}").replace("{id}", str(attributes.get("id", job.id)))
    name = str(attributes.get("title", job.source.path.stem))
    language = job.language if job.language != "auto" else "und"
    duration = next((step.facts["duration"] for step in manifest.steps.values() if "duration" in step.facts), None)
    context: dict[str, Any] = {"contextActivities": {"category": [{"id": _PROFILE}]}, "platform": "Amphipod"}
    if duration is not None:
        context["extensions"] = {_LENGTH: round(float(duration), 3)}
    return {
        "actor": _ACTOR,
        "verb": _SHARE,
        "object": {
            "objectType": "Activity",
            "id": str(attributes.get("url", default)),
            "definition": {"type": _VIDEO, "name": {language: name}},
        },
        "context": context,
    }
