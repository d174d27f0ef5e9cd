"""What travels between processes, plugins and portals: frozen models with a JSON round trip.

Paths inside an artifact are relative to the folder that holds the step's output, so that a job's files can be
moved, published elsewhere or read from another mount. Times are UTC, durations seconds, rates bits per second.
"""

from __future__ import annotations

import enum
import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

#: Raised when a change of these models can't be read by the previous release.
SCHEMA = 1

#: What a step may be called; their order is the order of a job.
Step = Literal["compose", "encode", "transcribe", "emit"]
STEPS: tuple[Step, ...] = ("compose", "encode", "transcribe", "emit")

#: High is served first, low is never starved.
Priority = Literal["high", "normal", "low"]

#: What a file is for, in the order in which files are published, so that a reader who meets a new name finds what it
#: names already there: media and texts, playlists, pictures before their index, the masters when all that they offer is
#: in place, and last the info, which Esup-Pod takes for the sign that all is complete. "other" is for what a
#: plugin makes of no other kind.
Kind = Literal[
    "film",  # a composed source
    "part",  # of a divided step; never published
    "segment",
    "rendition",
    "audio",
    "transcript",
    "other",
    "audio_playlist",
    "playlist",
    "thumbnail",
    "sprite",
    "sprite_index",
    "subtitle",
    "caption",
    "chapters",
    "master",
    "info",
]
KINDS: tuple[Kind, ...] = get_args(Kind)

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


def check_id(value: str) -> str:
    """Return `value` if it can be a job's id, hence a folder's name; raise ValueError otherwise."""
    if not _ID.fullmatch(value):
        raise ValueError(
            f"{value!r} is not an id: 1 to 128 letters, digits, '_', '.' or '-', the first a letter or digit"
        )
    return value


#: What a header and a line of a log can carry.
CORRELATION_ID = re.compile(r"^[A-Za-z0-9_.:/+=@-]{1,128}$")


def check_correlation_id(value: str) -> str:
    """Return `value` if a header and a line of a log can carry it; raise ValueError otherwise."""
    if not CORRELATION_ID.fullmatch(value):
        raise ValueError(f"{value!r} is no correlation id: 1 to 128 letters, digits and any of _.:/+=@-")
    return value


def now() -> datetime:
    return datetime.now(UTC)


class Model(BaseModel):
    """Frozen, strict about unknown fields, and JSON both ways."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_json(self) -> str:
        return self.model_dump_json(indent=2, exclude_none=True) + "\n"


class State(enum.StrEnum):
    """Of a job or of one of its steps."""

    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"

    @property
    def is_final(self) -> bool:
        return self not in (State.WAITING, State.RUNNING)


class Source(Model):
    """One media file to work on."""

    path: Path
    #: What it shows; a studio job has a presenter and a presentation.
    role: Literal["lecture", "presenter", "presentation"] = "lecture"


class Download(Model):
    """A file that a host fetches before it works on a job."""

    #: In the job's folder.
    path: Path
    url: str
    #: A stranger has named it: it must be at a public address, or a host of the settings, and no larger than uploads.
    guarded: bool = False


class Callback(Model):
    """Whom to tell of a job's end. It holds no secret: those are settings of the host that delivers it."""

    #: The contract that it is told by: "webhook", or one of Esup-Pod's (core/pod/callbacks.py).
    kind: str
    #: Esup-Pod's are relative to its API's address, so that a wrong one can still be mended.
    url: str
    #: What the receiver wants to hear again.
    body: Mapping[str, Any] = Field(default_factory=dict)


class Job(Model):
    """What a portal asked for: `request.json`, immutable once stored."""

    schema_number: int = Field(default=SCHEMA, alias="schema")
    id: Annotated[str, AfterValidator(check_id)]
    created_at: datetime = Field(default_factory=now)
    sources: tuple[Source, ...] = Field(min_length=1)
    steps: tuple[Step, ...] = Field(min_length=1)
    #: Folder to publish into; None publishes in the job's own folder.
    output: Path | None = None
    #: Whether files in that folder that are not this job's may be replaced, and what the same steps of another source
    #: have published there removed. What the job itself reads never is.
    replace: bool = False
    #: Files elsewhere that whoever is told of the job's end puts in place; what lies there must be of the same source.
    placed: tuple[Path, ...] = ()
    #: BCP 47 tag of what is spoken, or "auto".
    language: str = "auto"
    #: Options as the caller wrote them, `{"profile": "lecture"}`; each step takes those its engine knows.
    options: Mapping[str, Any] = Field(default_factory=dict)
    #: Which of its queues a step's message waits on.
    priority: Priority = "normal"
    #: Plugin asked for by name, by step.
    engines: Mapping[Step, str] = Field(default_factory=dict)
    #: The portal's own words (its video's id, a title); carried along, never read by core.
    attributes: Mapping[str, Any] = Field(default_factory=dict)
    #: What is fetched first, where a portal shares no folder.
    downloads: tuple[Download, ...] = ()
    #: Who is told when the job is over; its steps never see them.
    callbacks: tuple[Callback, ...] = ()
    #: The submitter's own name for what this job belongs to: in every line of the log, and in the callbacks' header.
    correlation_id: Annotated[str, AfterValidator(check_correlation_id)] | None = None

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)

    @property
    def source(self) -> Source:
        return self.sources[0]

    @property
    def correlation(self) -> str:
        """The submitter's correlation id; without one the job's own."""
        return self.correlation_id or self.id


def _known_kind(value: object) -> object:
    if value not in KINDS:
        raise ValueError(f"{value!r} is no kind of file; there are {', '.join(KINDS)}")
    return value


class Artifact(Model):
    """One published file.

    An engine names what it knows; `size` and `sha256` are filled in when the step commits.
    """

    #: What it is for. The next step finds what it needs by this word.
    kind: Annotated[Kind, BeforeValidator(_known_kind)]
    path: str
    media_type: str
    size: int | None = None
    sha256: str | None = None
    width: int | None = None
    height: int | None = None
    duration: float | None = None
    bit_rate: int | None = None
    frames: int | None = None
    language: str | None = None
    codecs: str | None = None


class StepOutput(Model):
    """What an engine hands back: its files lie in `context.output`."""

    artifacts: tuple[Artifact, ...]
    #: What the step learnt and a later step or a portal may want (duration, has_audio).
    facts: Mapping[str, Any] = Field(default_factory=dict)
    #: Sentences for a person: what was left out, and why.
    notes: tuple[str, ...] = ()


class Part(Model):
    """A piece of a step that can be done by itself, on another host; the engine says how in `facts`."""

    #: Letters and digits; unique in its division.
    name: str = Field(pattern=r"^[A-Za-z0-9]{1,32}$")
    #: Its share of the work, in seconds of media.
    weight: float = Field(gt=0)
    facts: Mapping[str, Any] = Field(default_factory=dict)


def _distinct(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """Parts are filed by their names."""
    names = [part.name for part in parts]
    if len(set(names)) != len(names):
        raise ValueError(f"two parts have one name ({', '.join(names)})")
    return parts


class Division(Model):
    """How a step was divided, once, before its first part: `steps/division.<step>.json`. No parts: it is done whole."""

    parts: Annotated[tuple[Part, ...], AfterValidator(_distinct)] = ()


class PartOutput(StepOutput):
    """What became of a part; `folder` holds its files when they are joined."""

    part: Part
    folder: Path | None = None


class Work(Model):
    """What of a step is to be done."""

    verb: Literal["whole", "divide", "part", "join"] = "whole"
    #: For "part".
    part: Part | None = None
    #: For "join", in the order of the division.
    parts: tuple[PartOutput, ...] = ()


class Engine(Model):
    """Who does a step."""

    plugin: str
    distribution: str
    version: str


class Plan(Model):
    """`steps/plan.<step>.json`: who does a step and with which options, fixed before its first attempt.

    Fixed once, so that two hosts can't mix versions; a file a step, because no host need have every engine.
    """

    schema_number: int = Field(default=SCHEMA, alias="schema")
    #: In the order in which they are asked; the first that does not decline does the step.
    engines: tuple[Engine, ...]
    options: Mapping[str, Any]
    #: Which plugin, "settings" or "job" set each option; a default has no origin.
    origins: Mapping[str, str]

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)

    @property
    def digest(self) -> str:
        """Equal for equal options, whatever their order."""
        canonical = json.dumps(self.options, sort_keys=True, separators=(",", ":"), default=str)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


class StepResult(Model):
    """The commit of a step: `steps/<step>.<run>.json`."""

    schema_number: int = Field(default=SCHEMA, alias="schema")
    job: str
    step: str
    #: 1, and one more for each `amphipod retry`.
    run: int
    attempt: int
    state: Literal[State.SUCCEEDED, State.FAILED, State.CANCELLED, State.SUPERSEDED]
    #: Folder of the files, relative to the job's; None when there are none.
    folder: str | None = None
    artifacts: tuple[Artifact, ...] = ()
    facts: Mapping[str, Any] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()
    engine: Engine | None = None
    options: Mapping[str, Any] = Field(default_factory=dict)
    origins: Mapping[str, str] = Field(default_factory=dict)
    options_digest: str = ""
    #: With its remedy, if there is one, at its end.
    reason: str | None = None
    remedy: str | None = None
    host: str
    started_at: datetime
    finished_at: datetime

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)


class ManifestStep(Model):
    """How one step stands."""

    state: State
    reason: str | None = None
    notes: tuple[str, ...] = ()
    engine: Engine | None = None
    facts: Mapping[str, Any] = Field(default_factory=dict)
    #: Folder of its artifacts, relative to the job's.
    folder: str | None = None
    artifacts: tuple[Artifact, ...] = ()


class Manifest(Model):
    """The whole job as its files tell it: what was asked, how each step stands, what was made."""

    schema_number: int = Field(default=SCHEMA, alias="schema")
    job: Job
    state: State
    run: int
    reason: str | None = None
    steps: Mapping[str, ManifestStep]
    #: Where the files were published; a job without `output` publishes in its own folder.
    published_in: Path | None = None

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        return tuple(artifact for step in self.steps.values() for artifact in step.artifacts)

    def find(self, kind: str) -> tuple[Artifact, ...]:
        """Return the artifacts of this kind, in the order in which they were made."""
        return tuple(artifact for artifact in self.artifacts if artifact.kind == kind)


class Word(Model):
    """One spoken word; times in seconds of the source."""

    text: str
    start: float
    end: float
    confidence: float | None = None


class Segment(Model):
    """What is said in one breath. `words` may be empty where an engine has no word times."""

    text: str
    start: float
    end: float
    words: tuple[Word, ...] = ()


class Transcript(Model):
    """What an engine heard. No segments is a success: nobody spoke."""

    #: BCP 47 tag of what `segments` are written in.
    language: str
    segments: tuple[Segment, ...]
    notes: tuple[str, ...] = ()
    #: What the engine learnt (language_probability, duration, ...); goes into the step's facts.
    facts: Mapping[str, Any] = Field(default_factory=dict)
    #: The language that was spoken, when this is a translation of it.
    translated_from: str | None = None
    #: The same in other languages; each gets captions of its own.
    translations: tuple[Transcript, ...] = ()


Statement = Mapping[str, Any]
"""An xAPI statement as JSON, sent as it was received."""


class Destination(Model):
    """A learning record store, known by a short name."""

    name: str
    url: str


class Receipt(Model):
    """What became of one statement.

    delivered; retry: the store is away or busy; blocked: a person has to mend something (a password, an address) before
    it takes any; rejected: it will never take this one.
    """

    statement_id: str
    outcome: Literal["delivered", "retry", "blocked", "rejected"]
    #: The store's words, or what a person has to mend.
    words: str = ""
    #: Nothing about this statement is the reason, any other would have fared alike: the store is away, busy, or refuses
    #: our login. Otherwise, one that is never taken while others are is set aside.
    store_wide: bool = False
    #: Seconds that the store asks to be left alone for.
    retry_after: float | None = None
