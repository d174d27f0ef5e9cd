"""What `[plugin.xapi]` and `AMPHIPOD_XAPI_*` say: the record stores, who is hidden, what is checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from core import AlsoRead


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
    #: Of xAPI, in the header that a strict store refuses a request without.
    version: Literal["1.0.3", "2.0.0"] = "1.0.3"
    #: Only these verbs, by the last word of their IRI: ("played", "completed"); none: all.
    verbs: tuple[str, ...] = ()
    #: Only about activities whose id begins with one of these; none: all.
    activities: tuple[str, ...] = ()
    #: None: as `anonymize_actor` says.
    anonymize: bool | None = None
    #: Certificates to trust instead of the system's, and of those that the environment names.
    ca_file: Path | None = None


class XapiSettings(BaseModel):
    """Settings of delivering; those in `AlsoRead` are Esup-Pod's names. How long is waited is core's business."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lrs_url: Annotated[str | None, AlsoRead("XAPI_LRS_URL")] = Field(
        default=None,
        description="statements resource of the learning record store, https://lrs.univ.fr/xAPI/statements",
    )
    lrs_login: Annotated[str | None, AlsoRead("XAPI_LRS_LOGIN")] = Field(
        default=None, description="login at that store"
    )
    lrs_pwd: Annotated[SecretStr | None, AlsoRead("XAPI_LRS_PWD")] = Field(
        default=None, description="password at that store"
    )
    lrs_token: SecretStr | None = Field(default=None, description="bearer token, instead of login and password")
    lrs_version: Literal["1.0.3", "2.0.0"] = Field(default="1.0.3", description="version of xAPI that it is sent")
    stores: tuple[RecordStore, ...] = Field(
        default=(), description="more stores, each with its own filter, as JSON; see [xapi.md](xapi.md)"
    )
    validation: Literal["off", "warn", "strict"] = Field(
        default="warn", description="what to do about a statement that Ralph's models refuse"
    )
    anonymize_actor: Annotated[bool, AlsoRead("XAPI_ANONYMIZE_ACTOR")] = Field(
        default=False, description="replace people by pseudonyms before a statement leaves"
    )
    anonymize_key: SecretStr | None = Field(
        default=None, description="secret that the pseudonyms depend on; keep it, a new key makes new people"
    )
    anonymize_key_id: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9_-]{0,16}$",
        description="name of that key, which stands in the pseudonyms' home page; give each new key another",
    )
    anonymize_old_keys: Mapping[str, SecretStr] = Field(
        default={}, description="earlier keys by their names, as JSON, for `amphipod pseudonyms`"
    )
    pseudonym_form: Literal["account", "mailbox"] = Field(
        default="account", description="how a pseudonym is written; mailbox is Esup-Pod's form"
    )
    pseudonym_home: str = Field(
        default="https://pseudonym.invalid",
        description="home page of the pseudonyms' accounts, host of their mailboxes",
    )
    pipeline_statements: bool = Field(default=False, description="say in a statement that a lecture was published")
    activity_url: str | None = Field(
        default=None,
        description="address of a published lecture for that statement; {id} is its job or the job's attribute `id`",
    )
    time_limit: float = Field(default=60.0, gt=0, description="seconds that a store gets to answer")

    @property
    def record_stores(self) -> tuple[RecordStore, ...]:
        """All stores: the one of Esup-Pod's settings, named "lrs", and the others."""
        if self.lrs_url is None:
            return self.stores
        first = RecordStore(
            name="lrs",
            url=self.lrs_url,
            login=self.lrs_login,
            password=self.lrs_pwd,
            token=self.lrs_token,
            version=self.lrs_version,
        )
        return (first, *self.stores)
