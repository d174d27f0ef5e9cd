"""Mistakes are told in our words."""

from __future__ import annotations

from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core import validation_messages


class Room(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=2)
    seats: int = Field(ge=1, le=500)
    kind: Literal["hall", "lab"] = "hall"
    lecturers: tuple[str, ...] = ()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"seats": 3}, "name: is missing"),
        ({"name": "R"}, "name: must have 2 characters or more; seats: is missing"),
        ({"name": "R1", "seats": "many"}, "seats: must be a whole number"),
        ({"name": "R1", "seats": 0}, "seats: must be 1 or more"),
        ({"name": "R1", "seats": 501}, "seats: must be 500 or less"),
        ({"name": "R1", "seats": 1, "kind": "shed"}, "kind: must be 'hall' or 'lab'"),
        ({"name": "R1", "seats": 1, "lecturers": 3}, "lecturers: must be a list"),
        ({"name": "R1", "seats": 1, "door": 3}, "door: is not known"),
    ],
)
def test_each_mistake_is_said_with_its_field(values: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Room.model_validate(values)
    assert validation_messages.told(caught.value) == words


def test_what_has_no_words_yet_is_named_all_the_same() -> None:
    assert validation_messages.words({"type": "bytes_too_long", "loc": (), "msg": "Data should", "input": b""}) == (
        "does not fit (bytes too long)"
    )
