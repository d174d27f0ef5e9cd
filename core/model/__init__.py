"""What travels between processes, plugins and portals: frozen models with a JSON round trip.

Paths inside an artifact are relative to the folder that holds the step's output, so that a job's files can be
moved, published elsewhere or read from another mount. Times are UTC, durations seconds, rates bits per second.
"""

from core.model.artifact import KINDS, Artifact, Kind
from core.model.base import CORRELATION_ID, SCHEMA, FilePath, Model, check_correlation_id, check_id, now, path_text
from core.model.job import STEPS, Callback, Download, Job, Priority, Source, State, Step
from core.model.manifest import Manifest, ManifestStep
from core.model.statement import Destination, Receipt, Statement
from core.model.step import Division, Engine, Part, PartOutput, Plan, StepOutput, StepResult, Work
from core.model.transcript import Segment, Transcript, Word

__all__ = [
    "CORRELATION_ID",
    "KINDS",
    "SCHEMA",
    "STEPS",
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
    "Transcript",
    "Word",
    "Work",
    "check_correlation_id",
    "check_id",
    "now",
    "path_text",
]
