"""Pages of the reference that the code writes: commands, settings, hooks, operations of the API, the manifest."""

from __future__ import annotations

import inspect
import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel

from core import hookspecs
from core.cli import build
from core.model import Manifest, artifact
from core.plugin_host.manager import Manager, specifications
from core.settings import Settings
from core.settings.plugin_settings import also_read, variable
from core.settings.reading import POD_NAMES
from core.web import app as web

_HTTP = ("get", "post", "put", "patch", "delete", "head", "options")


@cache
def pages() -> Mapping[str, str]:
    """Return the text of each page by its address."""
    write: dict[str, Callable[[], Iterator[str]]] = {
        "commands": _commands,
        "settings": _settings,
        "hooks": _hooks,
        "api": _operations,
        "manifest": _manifest,
    }
    return {f"reference/{name}.md": "\n".join(lines()) + "\n" for name, lines in write.items()}


def _cell(value: object) -> str:
    """Return a text as a cell of a table can have it; its links lead out of this folder."""
    return re.sub(r"\s+", " ", str(value)).replace("|", "\\|").replace("](", "](../").strip()


# Commands


def commands() -> Iterator[tuple[str, Any]]:
    """Return each command and its object, subcommands too."""
    waiting: list[tuple[str, Any]] = [("amphipod", typer.main.get_command(build([])))]
    while waiting:
        name, command = waiting.pop(0)
        below = [(f"{name} {one}", sub) for one, sub in getattr(command, "commands", {}).items()]
        waiting = below + waiting
        if not below:
            yield name, command


def _commands() -> Iterator[str]:
    yield "# Commands\n\nAs `amphipod COMMAND --help` tells them. `--config FILE` stands before the command.\n"
    for name, command in commands():
        yield f"## {name}\n\n{inspect.cleandoc(command.help or '')}\n"
        if shown := [one for one in command.params if not getattr(one, "hidden", False)]:
            yield "| | |\n|---|---|"
        for one in shown:
            names = ", ".join((*one.opts, *one.secondary_opts)) if one.param_type_name == "option" else one.name.upper()
            yield f"| `{_cell(names)}` | {_cell(getattr(one, 'help', None) or '')} |"
        yield ""


# Settings


def _settings() -> Iterator[str]:
    yield "# Settings by type\n\nWhat each one takes. [Settings](../settings.md) says where they stand.\n"
    pods = {field: name for name, field in POD_NAMES.items()}
    yield from _fields("The host", Settings, lambda name: f"AMPHIPOD_{name.upper()}", pods)
    for plugin, model in plugin_settings():
        yield from _fields(f"The plugin {plugin}", model, partial(variable, plugin), also_read(model))


def plugin_settings() -> Iterator[tuple[str, type[BaseModel]]]:
    """Return the settings that the plugins which are installed here declare."""
    from plugins.media.settings import MediaSettings
    from plugins.transcript.settings import TranscriptSettings
    from plugins.xapi.settings import XapiSettings

    yield from (("media", MediaSettings), ("transcript", TranscriptSettings), ("xapi", XapiSettings))


def _fields(title: str, model: type[BaseModel], named: Callable[[str], str], other: Mapping[str, str]) -> Iterator[str]:
    yield f"## {title}\n\n| variable | type | default | also read | meaning |\n|---|---|---|---|---|"
    properties = model.model_json_schema()["properties"]
    for name, field in model.model_fields.items():
        its = properties[name]
        default = its.get("default")
        shown = f"`{_cell(json.dumps(default))}`" if default not in (None, [], {}) else ""
        also = f"`{other[name]}`" if name in other else ""
        kind = re.sub(r"\[\w+\]\(.*?\)", "object", _json_type(its))
        yield f"| `{named(name)}` | {kind} | {shown} | {also} | {_cell(field.description)} |"
    yield ""


# Hooks


def _hooks() -> Iterator[str]:
    yield "# Hooks with types\n\nWhat `amphipod hooks` prints. [Hooks](../hooks.md) says when each is called.\n"
    for name, specification in specifications():
        text = inspect.getsource(specification).partition("def ")[2].partition('"""')[0]
        first = getattr(specification, f"{hookspecs.NAME}_spec").get("firstresult")
        yield f"## {name}\n\n```python\ndef {inspect.cleandoc(text).rstrip()} ...\n```\n"
        words = re.sub(r"^:param (\w+):", r"- `\1`:", inspect.getdoc(specification) or "", flags=re.MULTILINE)
        words = re.sub(r"^:return:", "\nReturns", words, flags=re.MULTILINE)
        yield words + ("\n\nThe first answer counts.\n" if first else "\n")


# The API


def schema() -> dict[str, Any]:
    """Return the description of the API as a server without any plugin of others gives it."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(jobs_root=Path(folder), log_level="error")
        return web.build(settings, Manager(settings)).openapi()


def _operations() -> Iterator[str]:
    found = schema()
    yield "# Operations of the HTTP API\n\nAs `/openapi.json` has them. [The HTTP API](../api.md) shows calls.\n"
    for path, operations in found["paths"].items():
        for method in (one for one in _HTTP if one in operations):
            operation = operations[method]
            yield f"## {method.upper()} {path}\n\n{operation.get('description', operation.get('summary', ''))}\n"
            parameters = operation.get("parameters", [])
            if parameters:
                yield "| parameter | in | type | |\n|---|---|---|---|"
            for one in parameters:
                kind = _json_type(one.get("schema", {}))
                yield f"| `{one['name']}` | {one['in']} | {kind} | {_cell(one.get('description', ''))} |"
            if body := operation.get("requestBody", {}).get("content"):
                kinds = ", ".join(f"`{kind}`: {_json_type(one.get('schema', {}))}" for kind, one in body.items())
                yield f"\nBody: {kinds}"
            yield ""
    for name, model in sorted(found["components"]["schemas"].items()):
        yield from _model(name, model)


def _json_type(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_json_type(one) for one in schema["anyOf"]))
    if "enum" in schema:
        return " or ".join(f"`{one}`" for one in schema["enum"])
    if schema.get("type") == "array" and "items" in schema:
        return f"list of {_json_type(schema['items'])}"
    if isinstance(more := schema.get("additionalProperties"), dict):
        return f"object of {_json_type(more)}"
    return str(schema.get("type") or (f"`{json.dumps(schema['const'])}`" if "const" in schema else "anything"))


def _model(name: str, model: Mapping[str, Any]) -> Iterator[str]:
    yield f"## {name}\n\n{_cell(model.get('description', '')) if 'properties' in model else _json_type(model)}\n"
    if fields := model.get("properties"):
        yield "| field | type | |\n|---|---|---|"
    else:
        fields = {}
    needed = model.get("required", ())
    for field, its in fields.items():
        note = (
            "needed" if field in needed else f"`{json.dumps(its['default'])}`" if its.get("default") is not None else ""
        )
        yield f"| `{field}` | {_json_type(its)} | {note} |"
    yield ""


# The manifest


def _manifest() -> Iterator[str]:
    yield "# Manifest and kinds of files\n\nThe file `manifest.json` of a job, which plugins get as `core.Manifest`.\n"
    found = Manifest.model_json_schema(by_alias=True, mode="serialization")
    models = {"Manifest": found} | found["$defs"]
    for name, model in models.items():
        yield from _model(name, model)
    yield "## Kinds\n\nOf `Artifact.kind`, in the order in which files are published.\n"
    comments = dict(re.findall(r'^    "(\w+)",(?:  # (.+))?$', inspect.getsource(artifact), re.MULTILINE))
    yield "| kind | |\n|---|---|"
    for kind in artifact.KINDS:
        yield f"| `{kind}` | {comments[kind]} |"
    yield "\n## The schema\n\n```json\n" + json.dumps(found, indent=2) + "\n```"
