"""What is wrong with a value, in our words: those of pydantic are for programmers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

_NUMBER, _WHOLE = "must be a number", "must be a whole number"
_TEXT, _TABLE, _LIST = "must be text", "must be a table of names and values", "must be a list"

#: By pydantic's type of error; what stands in braces is in the error's context.
_WORDS: Mapping[str, str] = {
    "missing": "is missing",
    "extra_forbidden": "is not known",
    "none_required": "must be empty",
    "string_type": _TEXT,
    "string_unicode": "must be text in UTF-8",
    "string_pattern_mismatch": "must match {pattern}",
    "string_too_short": "must have {min_length} characters or more",
    "string_too_long": "must have {max_length} characters or fewer",
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": _WHOLE,
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": _NUMBER,
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be {le} or less",
    "multiple_of": "must be a multiple of {multiple_of}",
    "too_short": "must have {min_length} entries or more",
    "too_long": "must have {max_length} entries or fewer",
    "list_type": _LIST,
    "tuple_type": _LIST,
    "set_type": _LIST,
    "frozen_set_type": _LIST,
    "iterable_type": _LIST,
    "dict_type": _TABLE,
    "mapping_type": _TABLE,
    "model_type": _TABLE,
    "model_attributes_type": _TABLE,
    "dataclass_type": _TABLE,
    "path_type": "must be a path",
    "url_type": "must be an address",
    "url_parsing": "must be an address",
    "url_scheme": "must begin with {expected_schemes}",
    "datetime_type": "must be a date and time",
    "datetime_parsing": "must be a date and time ({error})",
    "datetime_from_date_parsing": "must be a date and time ({error})",
    "timezone_aware": "must say its time zone",
    "uuid_type": "must be a UUID",
    "uuid_parsing": "must be a UUID",
    "json_invalid": "is not JSON ({error})",
    "json_type": "must be JSON",
    "value_error": "{error}",
    "assertion_error": "{error}",
}


def words(mistake: ErrorDetails) -> str:
    """Say one mistake, without the field's name and its value."""
    kind = mistake["type"]
    if kind not in _WORDS:
        return f"does not fit ({kind.replace('_', ' ')})"
    return _WORDS[kind].format(**mistake.get("ctx", {}))


def told(error: ValidationError) -> str:
    """Say all mistakes in one line, each with its field."""
    return "; ".join(": ".join(filter(None, (field(one), words(one)))) for one in error.errors(include_url=False))


def field(mistake: ErrorDetails) -> str:
    return ".".join(str(part) for part in mistake["loc"])
