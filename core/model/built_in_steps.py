"""The steps that core brings itself, in the form in which a plugin declares its own."""

from __future__ import annotations

from core.model.step_spec import ALL, StepSpec

COMPOSE = StepSpec(name="compose", queue="encoding", hook="compose", summary="make one film of two takes")

#: Queues under the names that Esup-Pod's workers have (pod/video_encode_transcript/*_tasks.py, pod/xapi/xapi_tasks.py).
BUILT_IN: tuple[StepSpec, ...] = (
    COMPOSE,
    StepSpec(
        name="encode",
        queue="encoding",
        needs=("compose",),
        default=True,
        hook="encode",
        summary="make what a portal plays: renditions, sound, pictures",
    ),
    StepSpec(
        name="transcribe",
        queue="transcripting",
        needs=("compose", "encode"),
        beside=("encode",),
        kept=True,
        default=True,
        hook="transcribe",
        summary="write captions of what is said",
    ),
    StepSpec(
        name="emit",
        queue="xapi",
        heavy=False,
        needs=(ALL,),
        default=True,
        doing="delivering statements",
        hook="emit_statement",
        # Named and not imported: it stands above this floor, and hosts of the heavy steps have no use for it.
        inline="core.statements.emit_step:run",
        summary="send learning records",
    ),
)
