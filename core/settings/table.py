"""All settings, each with its default and what it does."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from core.settings import plugin_settings, redaction
from core.settings.values import (
    Address,
    Clients,
    Engines,
    Mode,
    Names,
    Options,
    Paths,
    Tables,
    default_jobs_root,
    default_run_dir,
)

M = TypeVar("M", bound=BaseModel)

#: Settings that may hold a password beside what anybody may know.
ADDRESSES = ("broker_url", "pod_broker_url", "pod_xapi_broker_url", "pod_api_url")


class Settings(BaseModel):
    """What a host is told. `amphipod doctor` prints the values in force."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, hide_input_in_errors=True)

    broker_url: Address | None = Field(
        default=None, description="Redis that the queues are on, redis://host:6379/0; none: jobs run in-process"
    )
    jobs_root: Path = Field(
        default_factory=default_jobs_root,
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
        default=0,
        ge=0,
        description="bytes of address space that a step's process may take; 0: data of three quarters of the memory",
    )
    step_cpu_limit: float = Field(
        default=500.0,
        ge=0,
        description="CPU seconds that a step may take for each second of its source, and for ten more; 0: no limit",
    )
    step_file_limit: int = Field(
        default=64 * 2**30, ge=2**20, description="bytes of the largest file that a step's process may write"
    )
    confinement: Literal["off", "auto", "required"] = Field(
        default="auto",
        description="whether a step's process reaches only its own files: as far as the kernel can, or no work without",
    )
    slots: int = Field(default=1, ge=1, description="heavy steps of one kind that this host does at the same time")
    run_dir: Path = Field(
        default_factory=default_run_dir, description="local folder of the slots' locks; never on a shared file system"
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
    fetch_time_limit: float = Field(
        default=6 * 3600.0,
        gt=0,
        description="seconds that a film may take to be fetched from an address; one that hardly moves is left before",
    )
    web_rate: float = Field(
        default=50.0,
        gt=0,
        description="requests a second that one token or address may make, ten times as many at once",
    )
    web_connections: int = Field(
        default=500,
        ge=2,
        description="connections at once, more get 503; half as many of one address that is no trusted proxy",
    )
    web_docs_public: bool = Field(
        default=True, description="whether the API's description is shown without a token; false: only with one"
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
    pod_api_url: Address | None = Field(default=None, description="Esup-Pod's API, https://pod.univ.fr/rest/")
    pod_api_token: SecretStr | None = Field(default=None, description="token there, of a user who is staff")
    pod_broker_url: Address | None = Field(
        default=None, description="Redis that Esup-Pod sends `encoding` and `transcripting` to"
    )
    pod_xapi_broker_url: Address | None = Field(default=None, description="Redis that Esup-Pod sends `xapi` to")
    bridge_seconds: float = Field(
        default=60.0, ge=1, description="seconds after which the messages that a dead bridge held come back"
    )
    runner_hosts: Names = Field(
        default=(),
        description="comma-separated hosts of its sources and notifications, private ones too; none: any public one",
    )
    runner_token: SecretStr | None = Field(
        default=None, description="token by which an Esup-Pod knows us as its runner manager, and we know it"
    )
    xapi_batch_seconds: float = Field(
        default=2.0, gt=0, description="seconds that a statement may wait for others to be sent with"
    )
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
    xapi_dead_days: float | None = Field(
        default=None,
        gt=0,
        description="days after which a dead statement is removed, with a line in the log; none: never",
    )
    xapi_tracker_origins: Names = Field(
        default=(), description="comma-separated origins whose pages may send statements, https://pod.univ.fr"
    )
    xapi_tracker_activities: Names = Field(
        default=(),
        description="comma-separated beginnings of the ids of what is watched; none: those of `xapi_tracker_origins`",
    )
    xapi_tracker_rate: float = Field(
        default=5.0,
        gt=0,
        description="statements a second of one visitor, or session of an unknown one; twenty times as many at once",
    )
    xapi_tracker_address_rate: float = Field(
        default=500.0,
        gt=0,
        description="statements a second that come from one address, a lecture hall; twenty times as many at once",
    )
    xapi_clients: Clients = Field(
        default=(),
        description="systems that send statements to our server by Basic auth, as JSON; see [xapi.md](xapi.md)",
    )
    xapi_visitor_key: SecretStr | None = Field(
        default=None, description="secret shared with the portal, which signs with it who watches"
    )

    plugin: Tables = Field(
        default={}, description="plugins' own settings, a table `[plugin.NAME]` each; see [hooks.md](hooks.md)"
    )

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Show no password: a trace with local variables, of a portal's own, shows this."""
        for name, value in super().__repr_args__():
            if name == "plugin":
                yield name, {plugin: dict.fromkeys(table, redaction.HIDDEN) for plugin, table in self.plugin.items()}
            else:
                yield name, redaction.without_passwords(value) if name in ADDRESSES else value

    def of_plugin(self, name: str, model: type[M]) -> M:
        """Return a plugin's own settings, from its variables first and then from its table.

        Raises:
            BadSettings: names each wrong one, with what it must be.
        """
        return plugin_settings.read(name, model, self.plugin.get(name, {}))
