"""What the xAPI Video Profile 1.0.3 demands of a player, as a check of one session's statements in their order.

The rules are those of its statement templates and of its data model, written down anew; docs/xapi.md names them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

Statement = dict[str, Any]

VIDEO = "https://w3id.org/xapi/video"
EXTENSION = f"{VIDEO}/extensions/"
ADL = "http://adlnet.gov/expapi/verbs/"

#: What `initialized` should say of the player.
_AROUND = (
    "session-id cc-enabled cc-subtitle-lang full-screen quality screen-size video-playback-size speed user-agent volume"
    " completion-threshold"
)

#: By verb: what the result must have, what the context must have, and what it should have.
TEMPLATES: dict[str, tuple[str, str, str]] = {
    f"{ADL}initialized": (
        "",
        "length",
        _AROUND,
    ),
    f"{VIDEO}/verbs/played": ("time", "", "session-id"),
    f"{VIDEO}/verbs/paused": ("time progress played-segments", "length", "completion-threshold session-id"),
    f"{VIDEO}/verbs/seeked": ("time-from time-to", "", "session-id"),
    f"{ADL}completed": ("time progress played-segments", "length", "completion-threshold session-id"),
    f"{ADL}terminated": ("time progress played-segments", "length", "completion-threshold session-id"),
    f"{ADL}interacted": (
        "time",
        "cc-enabled cc-subtitle-lang volume full-screen screen-size video-playback-size",
        "session-id",
    ),
}


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 and round(value, 3) == value


def _share(value: Any) -> bool:
    return _number(value) and value <= 1


def _matches(pattern: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


_SIZE = _matches(r"\d+x\d+")
_SEGMENT = r"\d+\.\d{3}\[\.\]\d+\.\d{3}"

#: What each extension may be: the schemas of the Profile's terms, and what its data model says beyond them.
TERMS: dict[str, Callable[[Any], bool]] = {
    "time": _number,
    "time-from": _number,
    "time-to": _number,
    "progress": _share,
    "played-segments": _matches(rf"|{_SEGMENT}(\[,\]{_SEGMENT})*"),
    "session-id": _matches(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-4[0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}"),
    "length": _number,
    "completion-threshold": _share,
    "cc-enabled": _is_flag,
    "cc-subtitle-enabled": _is_flag,
    "cc-subtitle-lang": _is_text,
    "frame-rate": _number,
    "full-screen": _is_flag,
    "quality": _number,
    "screen-size": _SIZE,
    "video-playback-size": _SIZE,
    "speed": _matches(r"-?\d+(\.\d+)?x"),
    "track": _is_text,
    "user-agent": _is_text,
    "volume": _share,
}


def name_of(statement: Statement) -> str:
    return str(statement["verb"]["id"]).rpartition("/")[2]


def extensions(statement: Statement, part: str) -> dict[str, Any]:
    """The extensions of a part by their short names."""
    found = statement.get(part, {}).get("extensions", {})
    return {key.removeprefix(EXTENSION): value for key, value in found.items()}


def breaches(said: Sequence[Statement], registration: Sequence[Statement]) -> list[str]:
    """Return what is against the Profile in one session's statements; none: nothing.

    `registration` are all statements of its registration, of which the segments tell.
    """
    rules = (_templates, _terms, _form, _completion)
    found = [f"{number} {name_of(one)}: {it}" for number, one in enumerate(said) for rule in rules for it in rule(one)]
    return [*found, *_sequence(said), *_pauses(said), *_segments(said, registration)]


def _templates(one: Statement) -> Iterator[str]:
    must_result, must_context, should_context = TEMPLATES[one["verb"]["id"]]
    result, context = extensions(one, "result"), extensions(one, "context")
    yield from (f"no {name}" for name in must_result.split() if name not in result)
    yield from (f"no {name}" for name in f"{must_context} {should_context}".split() if name not in context)
    if ({"time-from", "time-to"} & result.keys()) and name_of(one) != "seeked":
        yield "time-from and time-to belong to seeked"


def _terms(one: Statement) -> Iterator[str]:
    for name, value in (extensions(one, "result") | extensions(one, "context")).items():
        if name not in TERMS:
            yield f"{name} is no term of the Profile"
        elif not TERMS[name](value):
            yield f"{name} is {value!r}"


def _form(one: Statement) -> Iterator[str]:
    definition = one["object"].get("definition", {})
    if (one["object"]["objectType"], definition.get("type")) != ("Activity", f"{VIDEO}/activity-type/video"):
        yield "the object is no video"
    if {"id": VIDEO} not in one["context"]["contextActivities"]["category"]:
        yield "the category is not the Profile's"
    if str(UUID(one["id"])) != one["id"] or datetime.fromisoformat(one["timestamp"]).tzinfo is None:
        yield "id or timestamp"


def _completion(one: Statement) -> Iterator[str]:
    is_completed, result = name_of(one) == "completed", one.get("result", {})
    if ("completion" in result) is not is_completed or result.get("completion", True) is not True:
        yield "completion is for completed, where it is true"
    if is_completed and not re.fullmatch(r"PT\d+(\.\d{1,3})?S", result.get("duration", "")):
        yield "no duration"
    threshold = extensions(one, "context").get("completion-threshold", 1)
    if is_completed and extensions(one, "result")["progress"] < threshold:
        yield f"a progress of {extensions(one, 'result')['progress']}, below {threshold}"


def _sequence(said: Sequence[Statement]) -> Iterator[str]:
    verbs = [name_of(one) for one in said]
    if verbs[0] != "initialized" or verbs.count("initialized") != 1:
        yield f"initialized is not the first and only one: {verbs}"
    if "terminated" in verbs[:-1]:
        yield f"something after terminated: {verbs}"
    if {extensions(one, "context").get("session-id") for one in said} != {said[0]["id"]}:
        yield "the session's id is not that of initialized"
    if len({one["context"]["registration"] for one in said}) != 1:
        yield "two registrations"


def _pauses(said: Sequence[Statement]) -> Iterator[str]:
    playing = False
    for one in said:
        verb = name_of(one)
        if verb == "paused" and not playing:
            yield "paused twice"
        if verb == "terminated" and playing:
            yield "terminated before paused"
        playing = verb == "played" or (playing and verb != "paused")


def _segments(said: Sequence[Statement], registration: Sequence[Statement]) -> Iterator[str]:
    """Times of the segments are those of the statements."""
    results = [extensions(one, "result") for one in registration]
    times = {one[name] for one in results for name in ("time", "time-from", "time-to") if name in one}
    length = extensions(said[0], "context").get("length")
    for end in re.findall(r"\d+\.\d{3}", extensions(said[-1], "result").get("played-segments", "")):
        if float(end) not in times | {0.0, length}:
            yield f"a segment ends at {end}, and nobody said so"
