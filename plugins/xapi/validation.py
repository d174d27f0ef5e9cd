"""What Ralph's models say of a statement."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import structlog

from core import Statement, validation_messages

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails
    from ralph.models.validator import Validator

#: What ralph-malph 5.1.0 refuses against the Video Profile: a volume is a number from 0 to 1, its model has an integer.
#: Type of the complaint, and the end of the field's name; docs/xapi.md tells more.
_GAPS = (("int_from_float", "/extensions/volume"),)

_log = structlog.get_logger()


@cache
def _validator() -> Validator:
    from ralph.models.selector import ModelSelector
    from ralph.models.validator import Validator

    return Validator(ModelSelector(module="ralph.models.xapi"))


def complaint(statement: Statement) -> str | None:
    """Return the field that is wrong and why, or None; the models' known gaps count as right."""
    from pydantic import ValidationError
    from ralph.exceptions import UnknownEventException

    try:
        _validator().get_first_valid_model(dict(statement))
    except ValidationError as error:
        told = [_words(mistake) for mistake in error.errors(include_url=False) if not _is_gap(mistake)]
        return "; ".join(told[:3]) or None
    except UnknownEventException:
        return f"verb.id: no model of Ralph's knows {_get(statement, 'verb')} of {_get(statement, 'object')}"
    except (TypeError, ValueError, LookupError) as error:  # a field that a model of theirs stumbles over
        return f"not validated: {error}"
    return None


def warn(statement: Statement, words: str) -> None:
    """Log a complaint about a statement that is delivered all the same; says nothing of who did what."""
    _log.warning("statement does not validate", statement=statement.get("id"), reason=words)


def _words(mistake: ErrorDetails) -> str:
    return f"{validation_messages.field(mistake)}: {validation_messages.words(mistake)}"


def _is_gap(mistake: ErrorDetails) -> bool:
    field = str(mistake["loc"][-1]) if mistake["loc"] else ""
    return any(mistake["type"] == kind and field.endswith(name) for kind, name in _GAPS)


def _get(statement: Statement, field: str) -> Any:
    value = statement.get(field)
    return value.get("id", "nothing") if isinstance(value, Mapping) else "nothing"
