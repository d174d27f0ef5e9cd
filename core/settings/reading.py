"""Reads the settings from the environment and amphipod.toml; every mistake is reported at once."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

from pydantic import AliasChoices, BaseModel, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from core import validation_messages
from core.errors import BadSettings
from core.settings import secret_files
from core.settings.table import ADDRESSES, Settings

PREFIX = "AMPHIPOD_"
CONFIG_FILE = "amphipod.toml"

#: Esup-Pod's names for some of our settings; ours win.
POD_NAMES: Mapping[str, str] = {
    "POD_API_URL": "pod_api_url",
    "POD_API_TOKEN": "pod_api_token",
    "ENCODING_TRANSCODING_CELERY_BROKER_URL": "pod_broker_url",
    "XAPI_CELERY_BROKER_URL": "pod_xapi_broker_url",
}


def _holds_secret(name: str, kind: object) -> bool:
    """Tell what is never repeated in a message, not even when it is wrong: secrets, and addresses with a password."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return any(_holds_secret(field, about.annotation) for field, about in kind.model_fields.items())
    if name == "plugin" or name in ADDRESSES or kind is SecretStr:
        return True
    return any(_holds_secret(name, one) for one in get_args(kind))


_VARIABLES: Mapping[str, str] = {name: PREFIX + name.upper() for name in Settings.model_fields}

_SECRET = tuple(name for name, about in Settings.model_fields.items() if _holds_secret(name, about.annotation))


class _Sources(Settings, BaseSettings):
    """`Settings` read from the environment and from the values of amphipod.toml, given as keywords."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", hide_input_in_errors=True
    )

    pod_media_root: Path | None = Field(default=None, validation_alias=AliasChoices("MEDIA_ROOT", "media_root"))

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings


def load(config: Path | None = None, **overrides: Any) -> Settings:
    """Read the settings of this host.

    `config` names a TOML file; without it the one that AMPHIPOD_CONFIG names is read, or amphipod.toml in the current
    folder if it is there. `overrides` win over everything.

    Raises:
        BadSettings: names each wrong setting, with what it must be.
    """
    file = config_file(config)
    values: dict[str, Any] = {}
    if file:
        try:
            values = tomllib.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise BadSettings(f"{file}: {error.strerror}", path=str(file)) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise BadSettings(f"{file}: not TOML: {error}", path=str(file)) from None  # the cause holds the text
    values = _with_tables(values)
    files = {name: one for name in _VARIABLES if (one := _secret_file(name))}
    read = {name: one.read() for name, one in files.items()}
    try:
        pod = {field: os.environ[name] for name, field in POD_NAMES.items() if os.environ.get(name)}
        found = _Sources(**(pod | values | read)).model_dump()
        media_root = found.pop("pod_media_root")
        if media_root and media_root not in found["media_roots"]:
            found["media_roots"] = (*found["media_roots"], media_root)
        return Settings.model_validate(found | overrides)
    except ValidationError as error:
        words = _explain(error, values, file, files)
        # Without pydantic's own words, which repeat what was given.
        raise BadSettings(words, remedy="correct them, then run `amphipod doctor`") from None


def config_file(config: Path | None = None) -> Path | None:
    """Return the TOML file that is read, if one is."""
    named = config or os.environ.get(f"{PREFIX}CONFIG")
    file = Path(named or CONFIG_FILE)
    return file if named or file.is_file() else None


def exposed() -> list[secret_files.SecretFile]:
    """Return the files of settings that every user of this host may read."""
    return [file for name in _VARIABLES if (file := _secret_file(name)) and file.is_exposed]


def _secret_file(name: str) -> secret_files.SecretFile | None:
    """Return the file that holds a setting; the variable of the setting itself wins."""
    return None if os.environ.get(_VARIABLES[name]) else secret_files.find(_VARIABLES[name])


def _with_tables(values: Mapping[str, Any]) -> dict[str, Any]:
    """Move what stands above all tables and begins with a plugin's name into its table: settings stood there once."""
    ours, tables = dict(values), dict(values.get("plugin", {}))
    for key in values.keys() - Settings.model_fields.keys():
        for prefix, plugin in plugin_prefixes().items():
            if key.startswith(prefix):
                tables[plugin] = {key.removeprefix(prefix): ours.pop(key), **tables.get(plugin, {})}
                break
    return {**ours, "plugin": tables} if tables else ours


def plugin_prefixes() -> dict[str, str]:
    """Return how the settings of each installed plugin begin ("xapi_"), and its name."""
    return {point.name.replace("-", "_") + "_": point.name for point in entry_points(group="amphipod")}


def unknown_variables(own: Mapping[str, Iterable[str]] = MappingProxyType({})) -> list[tuple[str | None, str]]:
    """Say which `AMPHIPOD_*` of the environment nobody reads: the setting that may be meant, and a sentence.

    :param own: variables that plugins say they read. Where a plugin doesn't say, what begins with its name is its own,
        unless it is nearly one of ours.
    """
    settable = set(_VARIABLES.values()).union(*own.values())
    known = settable | {name + secret_files.SUFFIX for name in settable} | {f"{PREFIX}CONFIG"}
    strange = sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)
    credentials = [name.upper() for name in secret_files.credentials() if name.upper() not in settable]
    if not strange and not credentials:
        return []
    plugins = [prefix.upper() for prefix, name in plugin_prefixes().items() if name not in own]
    found: list[tuple[str | None, str]] = []
    rests = {one.removeprefix(PREFIX): one for one in known}
    for name in strange + credentials:
        is_theirs = any(name.startswith(PREFIX + plugin) for plugin in plugins)
        near = difflib.get_close_matches(name.removeprefix(PREFIX), rests, n=1, cutoff=0.9 if is_theirs else 0.6)
        if near or not is_theirs:
            meant = rests[near[0]] if near else None
            is_credential = name in credentials
            shown, nearest = (f"credential {name.lower()}", (meant or "").lower()) if is_credential else (name, meant)
            found.append((meant, f"{shown} is no setting{f': did you mean {nearest}?' if nearest else ''}"))
    return found


def _explain(
    error: ValidationError,
    values: Mapping[str, Any],
    file: Path | None,
    files: Mapping[str, secret_files.SecretFile],
) -> str:
    def where(name: str) -> str:
        if name in files:
            return files[name].place
        variable = PREFIX + name.upper()
        return f"{name} in {file}" if name in values and variable not in os.environ else variable

    told = []
    for mistake in error.errors():
        name, *rest = (str(part) for part in mistake["loc"])
        field = ".".join([where(name), *rest])
        if mistake["type"] == "extra_forbidden" and not rest:
            near = difflib.get_close_matches(name, Settings.model_fields, n=1)
            told.append(f"{field} is no setting{f', did you mean {near[0]}?' if near else ''}")
            continue
        silent = mistake["type"] in ("extra_forbidden", "missing") or name in _SECRET or name in files
        given = "" if silent else f" (it is {mistake['input']!r})"
        told.append(f"{field} {validation_messages.words(mistake)}{given}")
    return "; ".join(told)
