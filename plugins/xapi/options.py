"""What a job may ask of the delivery: nothing. Stores are the host's affair, in its settings."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class EmitOptions(BaseModel):
    """Without it, a job that also emits would have its mistyped options taken for the delivery's."""

    model_config = ConfigDict(frozen=True, extra="forbid")
