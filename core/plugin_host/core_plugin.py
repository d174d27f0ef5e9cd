"""Core's own declaration of steps, by the same hook as a plugin's: what every portal asks for, whoever does it."""

from __future__ import annotations

from collections.abc import Sequence

from core.hookspecs import hookimpl
from core.model import BUILT_IN, StepSpec


@hookimpl
def register_steps() -> Sequence[StepSpec]:
    return BUILT_IN
