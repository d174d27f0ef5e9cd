"""How a plugin marks the fields of its own settings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AlsoRead:
    """Marks a field that is read from another variable of the environment too, where ours is not set.

    `url: Annotated[str | None, AlsoRead("XAPI_LRS_URL")] = None`
    """

    variable: str
