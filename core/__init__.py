"""Amphipod's public names, for authors of plugins and portals.

from core import hookimpl

@hookimpl
def step_options(job, step):
    return {"profile": "lecture"} if step == "encode" else None
"""

from core.context import Context, Progress
from core.errors import (
    AmphipodError,
    BadSource,
    Cancelled,
    Permanent,
    PluginUnavailable,
    Transient,
)
from core.hookspecs import DROP, hookimpl
from core.model import (
    Artifact,
    Destination,
    Job,
    Manifest,
    Receipt,
    Segment,
    Source,
    State,
    Statement,
    StepOutput,
    StepResult,
    Transcript,
    Word,
)

__all__ = [
    "DROP",
    "AmphipodError",
    "Artifact",
    "BadSource",
    "Cancelled",
    "Context",
    "Destination",
    "Job",
    "Manifest",
    "Permanent",
    "PluginUnavailable",
    "Progress",
    "Receipt",
    "Segment",
    "Source",
    "State",
    "Statement",
    "StepOutput",
    "StepResult",
    "Transcript",
    "Transient",
    "Word",
    "hookimpl",
]
