"""What plugins are told: a table of amphipod.toml and variables each, read by a model of their own."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from core import mistakes
from core.errors import BadSettings

_M = TypeVar("_M", bound=BaseModel)


def variable(plugin: str, field: str) -> str:
    """Return the environment's name of a plugin's setting."""
    return f"AMPHIPOD_{plugin}_{field}".upper().replace("-", "_")


def read(plugin: str, model: type[_M], table: Mapping[str, Any]) -> _M:
    """Return a plugin's settings: its variables, else what `[plugin.NAME]` says, else the defaults.

    A variable holds JSON where its field is no plain text; a text that looks like JSON, a code of digits, stays text.

    Raises:
        BadSettings: names each wrong one, with what it must be.
    """
    variables = {field: os.environ.get(variable(plugin, field), "") for field in model.model_fields}
    set_ = {field: text for field, text in variables.items() if text}
    given = {**table, **{field: _value(text) for field, text in set_.items()}}
    try:
        return model.model_validate(given)
    except ValidationError as first:
        blamed = {str(mistake["loc"][0]) for mistake in first.errors() if mistake["loc"]}
        try:
            return model.model_validate({**given, **{field: set_[field] for field in blamed & set_.keys()}})
        except ValidationError:
            raise BadSettings(_explain(plugin, first, set_), remedy="see `amphipod doctor`") from first


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _explain(plugin: str, error: ValidationError, variables: Mapping[str, str]) -> str:
    told = []
    for mistake in error.errors(include_url=False, include_input=False):
        name, *rest = (str(part) for part in mistake["loc"] or ("",))
        place = variable(plugin, name) if variables.get(name) else f"{name} in [plugin.{plugin}]"
        told.append(f"{'.'.join([place, *rest])} {mistakes.words(mistake)}")
    return "; ".join(told)
