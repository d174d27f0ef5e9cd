"""What each hook may answer; anything else is told by plugin, hook and what was due."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pydantic import BaseModel

from core.errors import HookFailed
from core.findings import Finding
from core.model import Access, Artifact, Destination, Division, PartOutput, Receipt, StepOutput, StepSpec, Transcript

_Fits = Callable[[object], bool]


def _a(kind: type) -> tuple[_Fits, str]:
    return lambda answer: isinstance(answer, kind), f"a {kind.__name__}"


def _list_of(kind: type, words: str) -> tuple[_Fits, str]:
    def fits(answer: object) -> bool:
        if isinstance(answer, str | bytes) or not isinstance(answer, Sequence):
            return False
        return all(isinstance(one, kind) for one in answer)

    return fits, f"a list of {words}"


def _either(one: tuple[_Fits, str], other: tuple[_Fits, str]) -> tuple[_Fits, str]:
    return lambda answer: one[0](answer) or other[0](answer), f"{one[1]} or {other[1]}"


def _is_schema(answer: object) -> bool:
    return isinstance(answer, type) and issubclass(answer, BaseModel)


def _is_options(answer: object) -> bool:
    return isinstance(answer, Mapping) and all(isinstance(key, str) for key in answer)


def _is_functions(answer: object) -> bool:
    return _is_options(answer) and isinstance(answer, Mapping) and all(map(callable, answer.values()))


#: By hook: whether an answer fits, and what is due in words. None declines everywhere.
_DUE: Mapping[str, tuple[_Fits, str]] = {
    "register_callbacks": (_is_functions, "a mapping of functions by kind"),
    "register_settings": (_is_schema, "a class of pydantic's BaseModel"),
    "register_steps": _list_of(StepSpec, "StepSpec"),
    "run_step": _a(StepOutput),
    "options_schema": (_is_schema, "a class of pydantic's BaseModel"),
    "step_options": (_is_options, "a mapping of options by name"),
    "child_access": _a(Access),
    "file_names": _list_of(str, "patterns"),
    "encode": _a(StepOutput),
    "keeps_time": _a(bool),
    "divide": _a(Division),
    "encode_part": _a(PartOutput),
    "join": _a(StepOutput),
    "compose": _a(StepOutput),
    "transcribe": _a(Transcript),
    "write_captions": _either(_list_of(Artifact, "Artifact"), _a(StepOutput)),
    "build_statements": _list_of(Mapping, "statements, mappings as JSON has them"),
    "check_statement": _a(str),
    "prepare_statement": _a(Mapping),
    "statement_destinations": _list_of(Destination, "Destination"),
    "emit_statement": _list_of(Receipt, "Receipt"),
    "examine_host": _list_of(Finding, "Finding"),
}


def check(hook: str, plugin: str, answer: object) -> None:
    """Refuse an answer that does not fit.

    Raises:
        HookFailed
    """
    if answer is None or hook not in _DUE:
        return
    fits, due = _DUE[hook]
    if not fits(answer):
        raise HookFailed(
            f"plugin {plugin} answered {hook} with {_described(answer)}",
            remedy=f"{due} is due, or None",
            plugin=plugin,
        )


def _described(answer: object) -> str:
    """Name the type, and of a list what in it; never the value, which may be large or secret."""
    name = f"a {type(answer).__name__}" if not isinstance(answer, type) else f"the class {answer.__name__}"
    if isinstance(answer, list | tuple) and answer:
        return f"{name} of {', '.join(sorted({type(one).__name__ for one in answer}))}"
    return name
