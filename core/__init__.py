"""Amphipod's public names, for authors of plugins and portals.

from core import hookimpl

@hookimpl
def step_options(job, step):
    return {"profile": "lecture"} if step == "encode" else None
"""

from typing import TYPE_CHECKING, Any

from core.context import Context, Progress
from core.errors import (
    AmphipodError,
    BadCall,
    BadSource,
    Cancelled,
    Permanent,
    PluginUnavailable,
    Transient,
)
from core.findings import Finding
from core.hookspecs import DROP, hookimpl
from core.model import (
    Access,
    AlsoRead,
    Artifact,
    Callback,
    Destination,
    Division,
    Job,
    Manifest,
    Part,
    PartOutput,
    Receipt,
    Segment,
    Source,
    State,
    Statement,
    StepOutput,
    StepResult,
    StepSpec,
    Transcript,
    Word,
)

if TYPE_CHECKING:
    from core.callbacks.delivery import Case, Verdict
    from core.callbacks.webhook import signature
    from core.jobs import status, submit
    from core.jobs.correction import Correctable, correct, correctable
    from core.statements.submit import submit_statements
    from core.statements.visitor_token import sign as sign_visitor

__all__ = [
    "DROP",
    "Access",
    "AlsoRead",
    "AmphipodError",
    "Artifact",
    "BadCall",
    "BadSource",
    "Callback",
    "Cancelled",
    "Case",
    "Context",
    "Correctable",
    "Destination",
    "Division",
    "Finding",
    "Job",
    "Manifest",
    "Part",
    "PartOutput",
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
    "StepSpec",
    "Transcript",
    "Transient",
    "Verdict",
    "Word",
    "correct",
    "correctable",
    "hookimpl",
    "sign_visitor",
    "signature",
    "status",
    "submit",
    "submit_statements",
]


def __getattr__(name: str) -> Any:
    """Load a portal's functions when they are first used: a plugin has no use for what they import."""
    if name == "submit_statements":
        from core.statements import submit as statements_submit

        return statements_submit.submit_statements
    if name in ("Case", "Verdict"):
        from core.callbacks import delivery

        return getattr(delivery, name)
    if name in ("Correctable", "correct", "correctable"):
        from core.jobs import correction

        return getattr(correction, name)
    if name == "sign_visitor":
        from core.statements import visitor_token

        return visitor_token.sign
    if name == "signature":
        from core.callbacks import webhook

        return webhook.signature
    if name in ("status", "submit"):
        from core import jobs

        return getattr(jobs, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
