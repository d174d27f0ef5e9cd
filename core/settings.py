"""The host's settings: one table, read once, every mistake reported at once.

Each field is set by the environment's `AMPHIPOD_<NAME>`, or by `<name>` in amphipod.toml (the environment wins).
"""

from __future__ import annotations

import difflib
import json
import os
import tempfile
import tomllib
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from core import mistakes
from core.errors import BadSettings
from core.model import Step

PREFIX = "AMPHIPOD_"
CONFIG_FILE = "amphipod.toml"

#: Esup-Pod's names for some of our settings; ours win.
POD_NAMES: Mapping[str, str] = {
    "XAPI_LRS_URL": "xapi_lrs_url",
    "XAPI_LRS_LOGIN": "xapi_lrs_login",
    "XAPI_LRS_PWD": "xapi_lrs_pwd",
    "XAPI_ANONYMIZE_ACTOR": "xapi_anonymize_actor",
    "POD_API_URL": "pod_api_url",
    "POD_API_TOKEN": "pod_api_token",
    "ENCODING_TRANSCODING_CELERY_BROKER_URL": "pod_broker_url",
    "XAPI_CELERY_BROKER_URL": "pod_xapi_broker_url",
}

#: What holds a password is never repeated in a message, not even a wrong one.
_SECRET = (
    "broker_url",
    "pod_api_token",
    "pod_broker_url",
    "pod_xapi_broker_url",
    "runner_token",
    "webhook_secret",
    "xapi_anonymize_key",
    "xapi_lrs_pwd",
    "xapi_lrs_token",
    "xapi_stores",
    "xapi_visitor_key",
)


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


def _octal(value: object) -> object:
    return int(value, 8) if isinstance(value, str) else value


Mode = Annotated[int, Field(ge=0o400, le=0o777), BeforeValidator(_octal)]


def _default_jobs_root() -> Path:
    data_home = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data_home).expanduser() / "amphipod"


def _default_run_dir() -> Path:
    return Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()) / f"amphipod-{os.getuid()}"


class RecordStore(BaseModel):
    """A learning record store (LRS), and which statements it gets."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: In `amphipod statements`.
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$")
    #: Of its statements resource, .../xAPI/statements.
    url: str
    login: str | None = None
    password: SecretStr | None = None
    #: Bearer token, instead of login and password.
    token: SecretStr | None = None
    #: Only these verbs, by the last word of their IRI: ("played", "completed"); none: all.
    verbs: tuple[str, ...] = ()
    #: Only about activities whose id begins with one of these; none: all.
    activities: tuple[str, ...] = ()
    #: None: as `xapi_anonymize_actor` says.
    anonymize: bool | None = None
    #: Certificates to trust instead of the system's.
    ca_file: Path | None = None


RecordStores = Annotated[tuple[RecordStore, ...], NoDecode, BeforeValidator(_from_json)]


class Settings(BaseModel):
    """What a host is told. `amphipod doctor` prints the values in force."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    broker_url: str | None = Field(
        default=None, description="Redis that the queues are on, redis://host:6379/0; none: jobs run in-process"
    )
    jobs_root: Path = Field(
        default_factory=_default_jobs_root,
        description="folder that holds `jobs/`; on the shared file system when several hosts work together",
    )
    media_roots: Paths = Field(
        default=(),
        description="colon-separated folders that sources and outputs may lie under; none: anywhere the user may read",
    )
    log_format: Literal["console", "json"] = Field(default="console", description="how log lines look")
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="least level logged")
    plugins_only: Names = Field(default=(), description="comma-separated plugins to load, and no others")
    plugins_blocked: Names = Field(default=(), description="comma-separated plugins not to load")
    plugins_order: Names = Field(default=(), description="order in which plugins' options are merged, the last wins")
    plugins_strict: bool = Field(default=False, description="refuse to work while a plugin is invalid or failed")
    engines: Engines = Field(
        default={}, description='engines to try by step, in order, as JSON: {"encode": ["encode"]}'
    )
    options: Options = Field(
        default={}, description='options of every job that does not set them itself, as JSON: {"profile": "lecture"}'
    )
    step_attempts: int = Field(default=3, ge=1, description="times that a step may crash before its job fails")
    step_time_limit: float = Field(default=6 * 3600, gt=0, description="seconds after which a running step is ended")
    step_memory_limit: int = Field(
        default=0, ge=0, description="bytes of address space that a step's process may take; 0: no limit"
    )
    slots: int = Field(default=1, ge=1, description="heavy steps of one kind that this host does at the same time")
    run_dir: Path = Field(
        default_factory=_default_run_dir, description="local folder of the slots' locks; never on a shared file system"
    )
    lease_seconds: float = Field(
        default=20.0,
        gt=0,
        description="seconds after which a step's silent owner loses it; renewed four times as often",
    )
    heartbeat_seconds: float = Field(
        default=25.0, gt=0, description="seconds after which a silent worker's messages go to others"
    )
    retry_seconds: float = Field(
        default=15.0,
        gt=0,
        description="seconds until a step that met a passing fault is tried again; doubled each time",
    )
    step_retries: int = Field(
        default=20, ge=0, description="times that a passing fault (a full disk, say) is waited out before the job fails"
    )
    recheck_seconds: float = Field(
        default=300.0,
        gt=0,
        description="seconds between two looks, by one worker of `callbacks`, for unfinished jobs that are on no queue",
    )
    threads: int = Field(default=0, ge=0, description="threads that a step may keep busy; 0: one a core")
    keep_seconds: float = Field(
        default=600.0,
        ge=0,
        description="seconds for which the idle process of `transcribe` keeps its model loaded; 0: not at all",
    )
    keep_memory_limit: int = Field(
        default=0, ge=0, description="bytes of memory past which that process is not kept; 0: half of the host's"
    )
    output_mode: Mode | None = Field(
        default=None,
        description="mode of what is left for a portal, 0664 say, in folders also search; none: as the umask says",
    )
    output_group: str | None = Field(default=None, description="group that those files and folders are given to")
    callback_retry_seconds: float = Field(
        default=15.0, gt=0, description="seconds until a portal that could not be told is told again; doubled each time"
    )
    callback_longest_delay: float = Field(
        default=3600.0, gt=0, description="longest pause between two such tries, whatever the portal asks for"
    )
    callback_patience: float = Field(
        default=3 * 24 * 3600, gt=0, description="seconds after which a portal is given up, and an alarm is raised"
    )
    callback_time_limit: float = Field(
        default=120.0, gt=0, description="seconds that a portal gets to answer; Esup-Pod needs up to 41 and the import"
    )
    retain_failed_days: float = Field(
        default=14.0, ge=0, description="days for which a failed job can be retried; then its files are removed"
    )
    retain_cancelled_days: float = Field(
        default=1.0, ge=0, description="the same of a cancelled job, and of one that a younger has superseded"
    )
    retain_done_days: float = Field(
        default=7.0, ge=0, description="days for which a portal that shares no folder may fetch a job's files"
    )
    retain_results_days: float | None = Field(
        default=None,
        ge=0,
        description="days for which results in the job's own folder are kept; none: until `amphipod sweep ID`",
    )
    retain_record_days: float = Field(
        default=90.0,
        ge=0,
        description="days for which a job is known (status, story, key) after its files are gone",
    )
    retain_scratch_hours: float = Field(
        default=24.0,
        gt=0,
        description="hours after which a dead attempt's scratch, parts that nobody joins and half a download go",
    )
    sweep_seconds: float = Field(
        default=3600.0, ge=0, description="seconds between two sweeps by the workers of `callbacks`; 0: none by them"
    )
    fetch_hosts: Names = Field(
        default=(),
        description="comma-separated hosts that sources may be fetched from, private ones too; none: any public one",
    )
    web_rate: float = Field(
        default=50.0,
        gt=0,
        description="requests a second that one token or address may make, ten times as many at once",
    )
    web_time_limit: float = Field(
        default=30.0,
        gt=0,
        description="seconds that a request may take to arrive; an upload, a kilobyte for each of them",
    )
    web_upload_limit: int = Field(
        default=50_000_000_000,
        ge=1,
        description="bytes of the largest film that is uploaded, or fetched from an address",
    )
    web_trusted_proxies: Names = Field(
        default=(),
        description="comma-separated addresses of proxies whose X-Forwarded-For, -Proto and -Prefix are believed",
    )
    web_origins: Names = Field(
        default=(), description="comma-separated origins of our own pages, where a proxy doesn't pass Host on"
    )
    retain_upload_hours: float = Field(
        default=24.0, gt=0, description="hours after which an upload goes that is not complete, or that no job needs"
    )
    webhook_secret: SecretStr | None = Field(
        default=None, description="secret shared with the portal, by which it knows that a webhook is ours"
    )
    pod_api_url: str | None = Field(default=None, description="Esup-Pod's API, https://pod.univ.fr/rest/")
    pod_api_token: SecretStr | None = Field(default=None, description="token there, of a user who is staff")
    pod_broker_url: str | None = Field(
        default=None, description="Redis that Esup-Pod sends `encoding` and `transcripting` to"
    )
    pod_xapi_broker_url: str | None = Field(default=None, description="Redis that Esup-Pod sends `xapi` to")
    bridge_seconds: float = Field(
        default=60.0, ge=1, description="seconds after which the messages that a dead bridge held come back"
    )
    runner_hosts: Names = Field(
        default=(), description="comma-separated hosts that its sources and notifications may be on; none: any"
    )
    runner_token: SecretStr | None = Field(
        default=None, description="token by which an Esup-Pod knows us as its runner manager, and we know it"
    )
    xapi_lrs_url: str | None = Field(
        default=None,
        description="statements resource of the learning record store, https://lrs.univ.fr/xAPI/statements",
    )
    xapi_lrs_login: str | None = Field(default=None, description="login at that store")
    xapi_lrs_pwd: SecretStr | None = Field(default=None, description="password at that store")
    xapi_lrs_token: SecretStr | None = Field(default=None, description="bearer token, instead of login and password")
    xapi_stores: RecordStores = Field(
        default=(), description="more stores, each with its own filter, as JSON; see [xapi.md](xapi.md)"
    )
    xapi_validation: Literal["off", "warn", "strict"] = Field(
        default="warn", description="what to do about a statement that Ralph's models refuse"
    )
    xapi_anonymize_actor: bool = Field(
        default=False, description="replace people by pseudonyms before a statement leaves"
    )
    xapi_anonymize_key: SecretStr | None = Field(
        default=None, description="secret that the pseudonyms depend on; keep it, a new key makes new people"
    )
    xapi_pseudonym_form: Literal["account", "mailbox"] = Field(
        default="account", description="how a pseudonym is written; mailbox is Esup-Pod's form"
    )
    xapi_pseudonym_home: str = Field(
        default="https://pseudonym.invalid",
        description="home page of the pseudonyms' accounts, host of their mailboxes",
    )
    xapi_pipeline_statements: bool = Field(default=False, description="say in a statement that a lecture was published")
    xapi_activity_url: str | None = Field(
        default=None,
        description="address of a published lecture for that statement; {id} is its job or the job's attribute `id`",
    )
    xapi_batch_seconds: float = Field(
        default=2.0, gt=0, description="seconds that a statement may wait for others to be sent with"
    )
    xapi_time_limit: float = Field(default=60.0, gt=0, description="seconds that a store gets to answer")
    xapi_longest_delay: float = Field(
        default=300.0, gt=0, description="longest pause before a store that failed is asked again, whatever it asks for"
    )
    xapi_waiting_limit: int = Field(
        default=200_000, ge=1, description="statements for one store that wait in Redis; more wait in `jobs_root`"
    )
    xapi_statement_limit: int = Field(default=128 * 1024, ge=1, description="bytes of the largest statement taken")
    xapi_depth_limit: int = Field(
        default=50, ge=1, le=200, description="objects and arrays that may lie within each other in a statement"
    )
    xapi_preparation_limit: float = Field(
        default=1.0,
        gt=0,
        description="seconds that plugins may take to check and prepare one statement before it is set aside",
    )
    xapi_statement_tries: int = Field(
        default=5,
        ge=1,
        description="times that a store may fail one statement, and take others in between, before it is set aside",
    )
    xapi_statement_patience: float = Field(default=60.0, ge=0, description="seconds for which that goes on at least")
    xapi_tracker_origins: Names = Field(
        default=(), description="comma-separated origins whose pages may send statements, https://pod.univ.fr"
    )
    xapi_tracker_rate: float = Field(
        default=5.0, gt=0, description="statements a second that one browser may send, twenty times as many at once"
    )
    xapi_visitor_key: SecretStr | None = Field(
        default=None, description="secret shared with the portal, which signs with it who watches"
    )

    @property
    def record_stores(self) -> tuple[RecordStore, ...]:
        """All stores: the one of Esup-Pod's settings, named "lrs", and the others."""
        if self.xapi_lrs_url is None:
            return self.xapi_stores
        first = RecordStore(
            name="lrs",
            url=self.xapi_lrs_url,
            login=self.xapi_lrs_login,
            password=self.xapi_lrs_pwd,
            token=self.xapi_lrs_token,
        )
        return (first, *self.xapi_stores)


class _Sources(Settings, BaseSettings):
    """`Settings` read from the environment and from the values of amphipod.toml, given as keywords."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid")

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
    named = config or os.environ.get(f"{PREFIX}CONFIG")
    file = Path(named or CONFIG_FILE)
    values: dict[str, Any] = {}
    if named or file.is_file():
        try:
            values = tomllib.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise BadSettings(f"{file}: {error.strerror}", path=str(file)) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise BadSettings(f"{file}: not TOML: {error}", path=str(file)) from error
    try:
        pod = {field: os.environ[name] for name, field in POD_NAMES.items() if os.environ.get(name)}
        found = _Sources(**(pod | values)).model_dump()
        media_root = found.pop("pod_media_root")
        if media_root and media_root not in found["media_roots"]:
            found["media_roots"] = (*found["media_roots"], media_root)
        return Settings.model_validate(found | overrides)
    except ValidationError as error:
        raise BadSettings(_explain(error, values, file), remedy="correct them, then run `amphipod doctor`") from error


def unknown_variables() -> list[tuple[str | None, str]]:
    """Say which `AMPHIPOD_*` of the environment nobody reads: the setting that may be meant, and a sentence.

    Those that begin with a plugin's name are its own, unless they are nearly one of ours.
    """
    known = {PREFIX + name.upper() for name in Settings.model_fields} | {f"{PREFIX}CONFIG"}
    strange = sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)
    if not strange:
        return []
    plugins = {point.name.upper().replace("-", "_") for point in entry_points(group="amphipod")}
    found: list[tuple[str | None, str]] = []
    for name in strange:
        is_theirs = any(name.startswith(f"{PREFIX}{plugin}_") for plugin in plugins)
        rests = {one.removeprefix(PREFIX): one for one in known}
        near = difflib.get_close_matches(name.removeprefix(PREFIX), rests, n=1, cutoff=0.9 if is_theirs else 0.6)
        if near or not is_theirs:
            hint = f": did you mean {rests[near[0]]}?" if near else ""
            found.append((rests[near[0]] if near else None, f"{name} is no setting{hint}"))
    return found


def _explain(error: ValidationError, values: Mapping[str, Any], file: Path) -> str:
    def where(name: str) -> str:
        return (
            f"{name} in {file}" if name in values and PREFIX + name.upper() not in os.environ else PREFIX + name.upper()
        )

    told = []
    for mistake in error.errors():
        name, *rest = (str(part) for part in mistake["loc"])
        field = ".".join([where(name), *rest])
        if mistake["type"] == "extra_forbidden" and not rest:
            near = difflib.get_close_matches(name, Settings.model_fields, n=1)
            told.append(f"{field} is no setting{f', did you mean {near[0]}?' if near else ''}")
            continue
        silent = mistake["type"] in ("extra_forbidden", "missing") or name in _SECRET
        given = "" if silent else f" (it is {mistake['input']!r})"
        told.append(f"{field} {mistakes.words(mistake)}{given}")
    return "; ".join(told)
