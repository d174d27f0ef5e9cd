"""The fields of the submit page, from the JSON Schemas of the engines' options."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from core.model import Model
from core.web.api.system import StepAbout


class Field(Model):
    """An option that a person can set."""

    name: str
    kind: Literal["choice", "number", "text"]
    #: As it is written in the field.
    default: str | None = None
    choices: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    step: str = "any"
    #: Words that mean something to the engine, beside others.
    examples: tuple[str, ...] = ()
    #: The form of what is not just a word.
    help: str = ""


class StepFields(Model):
    """A step, whether it can be done here, and its options."""

    step: str
    engine: str | None
    reason: str = ""
    fields: tuple[Field, ...] = ()


def of_step(about: StepAbout) -> StepFields:
    schema = about.options.get(about.default or "", {})
    return StepFields(
        step=about.step,
        engine=about.default,
        reason=about.reason,
        fields=tuple(_fields(schema)),
    )


def _fields(schema: Mapping[str, Any]) -> Iterator[Field]:
    for name, about in schema.get("properties", {}).items():
        yield _field(name, about, schema.get("$defs", {}))


def _field(name: str, about: Mapping[str, Any], known: Mapping[str, Any]) -> Field:
    default = about.get("default")
    shown = None if default is None or isinstance(default, dict) else _shown(default)
    kinds = [_resolved(one, known) for one in about.get("anyOf", [about])]
    kinds = [one for one in kinds if one.get("type") != "null"]
    choices = [value for one in kinds for value in _choices(one)]
    if choices and all(_choices(one) for one in kinds):
        return Field(name=name, kind="choice", default=shown, choices=tuple(map(_shown, choices)))
    if len(kinds) == 1 and kinds[0].get("type") in ("number", "integer"):
        only = kinds[0]
        return Field(
            name=name,
            kind="number",
            default=shown,
            least=only.get("minimum", only.get("exclusiveMinimum")),
            most=only.get("maximum", only.get("exclusiveMaximum")),
            step="1" if only["type"] == "integer" else "any",
        )
    is_plain = len(kinds) == 1 and kinds[0].get("type") == "string"
    return Field(
        name=name,
        kind="text",
        default=shown,
        examples=tuple(map(_shown, about.get("examples", ()))),
        help="" if is_plain else "JSON",
    )


def _resolved(about: Mapping[str, Any], known: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = about.get("$ref", "").rpartition("/")[2]
    return known.get(reference, about) if reference else about


def _choices(about: Mapping[str, Any]) -> list[Any]:
    if about.get("type") == "boolean":
        return [True, False]
    return [about["const"]] if "const" in about else list(about.get("enum", ()))


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def parse_option(text: str) -> Any:
    """Return an option as it was written in a field: JSON where it is JSON, else text, as on the command line."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
