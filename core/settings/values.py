"""How values are written in the environment: lists, JSON, modes."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic_settings import NoDecode

from core.model import Step


def _split(separator: str) -> BeforeValidator:
    return BeforeValidator(
        lambda value: tuple(filter(None, value.split(separator))) if isinstance(value, str) else value
    )


Names = Annotated[tuple[str, ...], NoDecode, _split(",")]
Paths = Annotated[tuple[Path, ...], NoDecode, _split(os.pathsep)]


def _from_json(value: object) -> object:
    """Decode here and not in pydantic-settings, whose error names neither variable nor value."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise ValueError(f"not JSON ({error})") from error


Engines = Annotated[Mapping[Step, tuple[str, ...]], NoDecode, BeforeValidator(_from_json)]
Options = Annotated[Mapping[str, Any], NoDecode, BeforeValidator(_from_json)]
Tables = Annotated[Mapping[str, Mapping[str, Any]], NoDecode, BeforeValidator(_from_json)]


class StatementClient(BaseModel):
    """A system that sends statements by Basic auth, and what it may say."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    login: str = Field(min_length=1, pattern=r"^[^:]+$")
    password: SecretStr = Field(min_length=16)
    #: Only these verbs, by the last word of their IRI; none: all.
    verbs: tuple[str, ...] = ()
    #: Only about activities whose id begins with one of these; none: all.
    activities: tuple[str, ...] = ()


Clients = Annotated[tuple[StatementClient, ...], NoDecode, BeforeValidator(_from_json)]


def _octal(value: object) -> object:
    return int(value, 8) if isinstance(value, str) else value


Mode = Annotated[int, Field(ge=0o400, le=0o777), BeforeValidator(_octal)]


def _checked(address: str) -> str:
    """Refuse what each library would read differently: a password with signs that mean something in an address."""
    try:
        parts = urlsplit(address)
        is_clear = parts.port != 0 and not parts.fragment and ("@" not in parts.path or parts.scheme == "unix")
    except ValueError:
        is_clear = False
    if not is_clear:
        raise ValueError(
            "must be an address, as redis://:password@host:6379/0; a password's / @ : # are %2F %40 %3A %23"
        )
    return address


#: An address that may hold a password.
Address = Annotated[str, AfterValidator(_checked)]


def default_jobs_root() -> Path:
    data_home = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data_home).expanduser() / "amphipod"


def default_run_dir() -> Path:
    return Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()) / f"amphipod-{os.getuid()}"
