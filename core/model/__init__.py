"""What travels between processes, plugins and portals: frozen models with a JSON round trip.

Paths inside an artifact are relative to the folder that holds the step's output, so that a job's files can be
moved, published elsewhere or read from another mount. Times are UTC, durations seconds, rates bits per second.
"""

from core.model.access import Access
from core.model.artifact import KINDS, Artifact, Kind
from core.model.base import CORRELATION_ID, SCHEMA, FilePath, Model, check_correlation_id, check_id, now, path_text
from core.model.built_in_steps import BUILT_IN, COMPOSE
from core.model.job import Callback, Download, Job, Priority, Source, State
from core.model.manifest import Manifest, ManifestStep
from core.model.plugin_settings import AlsoRead
from core.model.statement import Destination, Receipt, Statement
from core.model.step import Division, Engine, Part, PartOutput, Plan, StepOutput, StepResult, Work
from core.model.step_spec import ALL, STEP_NAME, Step, StepSpec
from core.model.transcript import Segment, Transcript, Word

__all__ = [
    "ALL",
    "BUILT_IN",
    "COMPOSE",
    "CORRELATION_ID",
    "KINDS",
    "SCHEMA",
    "STEP_NAME",
    "Access",
    "AlsoRead",
    "Artifact",
    "Callback",
    "Destination",
    "Division",
    "Download",
    "Engine",
    "FilePath",
    "Job",
    "Kind",
    "Manifest",
    "ManifestStep",
    "Model",
    "Part",
    "PartOutput",
    "Plan",
    "Priority",
    "Receipt",
    "Segment",
    "Source",
    "State",
    "Statement",
    "Step",
    "StepOutput",
    "StepResult",
    "StepSpec",
    "Transcript",
    "Word",
    "Work",
    "check_correlation_id",
    "check_id",
    "now",
    "path_text",
]
