"""What plugins are told: a table of amphipod.toml and variables each, read by a model of their own."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Container, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, SecretStr, ValidationError

from core import validation_messages
from core.errors import BadSettings
from core.model import AlsoRead
from core.settings import secret_files

_M = TypeVar("_M", bound=BaseModel)


def variable(plugin: str, field: str) -> str:
    """Return the environment's name of a plugin's setting."""
    return f"AMPHIPOD_{plugin}_{field}".upper().replace("-", "_")


def read(plugin: str, model: type[_M], table: Mapping[str, Any]) -> _M:
    """Return a plugin's settings: its variables, else files, else what `[plugin.NAME]` says, else the defaults.

    A variable holds JSON where its field is no plain text; a text that looks like JSON, a code of digits, stays text.
    A file (core/settings/secret_files.py) holds what the variable would.

    Raises:
        BadSettings: names each wrong one, with what it must be.
    """
    other = {field: os.environ.get(name, "") for field, name in also_read(model).items() if field not in table}
    ours = {field: os.environ.get(variable(plugin, field), "") for field in model.model_fields}
    files = {field: file for field in model.model_fields if not ours[field] and (file := _file(plugin, field, model))}
    ours |= {field: file.read() for field, file in files.items()}
    set_ = {field: text for field in model.model_fields if (text := ours[field] or other.get(field, ""))}
    given = {**table, **{field: _value(text) for field, text in set_.items()}}
    try:
        return model.model_validate(given)
    except ValidationError as first:
        blamed = {str(mistake["loc"][0]) for mistake in first.errors() if mistake["loc"]}
        try:
            return model.model_validate({**given, **{field: set_[field] for field in blamed & set_.keys()}})
        except ValidationError:
            words = _explain(plugin, model, first, set_.keys() - files.keys(), files)
            # Without pydantic's own words, which repeat what was given.
            raise BadSettings(words, remedy="see `amphipod doctor`") from None


def exposed(plugin: str, model: type[BaseModel]) -> list[secret_files.SecretFile]:
    """Return the files of a plugin's settings that every user of this host may read."""
    files = (_file(plugin, field, model) for field in model.model_fields)
    return [file for file in files if file and file.is_exposed]


def _file(plugin: str, field: str, model: type[BaseModel]) -> secret_files.SecretFile | None:
    """Return the file that holds a setting; a field `ca_file` beside a field `ca` is a setting of its own."""
    is_other = f"{field}{secret_files.SUFFIX}".lower() in model.model_fields
    return None if is_other else secret_files.find(variable(plugin, field))


def also_read(model: type[BaseModel]) -> dict[str, str]:
    """Return the other variables by field."""
    return {
        field: mark.variable
        for field, about in model.model_fields.items()
        for mark in about.metadata
        if isinstance(mark, AlsoRead)
    }


def revealed(value: Any) -> Any:
    """Return a dumped value with its secrets in plain text: for a child process that works with them."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, Mapping):
        return {key: revealed(one) for key, one in value.items()}
    return [revealed(one) for one in value] if isinstance(value, list | tuple) else value


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _explain(
    plugin: str,
    model: type[BaseModel],
    error: ValidationError,
    given: Container[str],
    files: Mapping[str, secret_files.SecretFile],
) -> str:
    other = also_read(model)

    def place(field: str) -> str:
        if field in files:
            return files[field].place
        if field not in given:
            return f"{field} in [plugin.{plugin}]"
        ours = variable(plugin, field)
        return ours if os.environ.get(ours) else other[field]

    told = []
    for mistake in error.errors(include_url=False, include_input=False):
        name, *rest = (str(part) for part in mistake["loc"] or ("",))
        if mistake["type"] == "extra_forbidden" and not rest:
            near = difflib.get_close_matches(name, model.model_fields, n=1)
            told.append(f"{place(name)} is no setting{f', did you mean {near[0]}?' if near else ''}")
        else:
            told.append(f"{'.'.join([place(name), *rest])} {validation_messages.words(mistake)}")
    return "; ".join(told)
