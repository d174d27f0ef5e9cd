"""Takes secrets out of what people read: log lines, errors, what doctor prints."""

from __future__ import annotations

import functools
import re
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ParamSpec, TypeVar
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from pydantic import BaseModel, SecretStr

_P = ParamSpec("_P")
_R = TypeVar("_R")

#: What stands in a secret's place.
HIDDEN = "[hidden]"

#: A shorter secret is no secret, and its letters are in every word.
_SHORTEST_SECRET = 4

#: The password of an address, whoever's it is.
_PASSWORD = re.compile(r"(\w://[^\s/:@]{0,100}:)[^\s/@]{1,200}@")

#: Parameters that are secrets: redis-py takes a password so, shops of storage sign addresses so.
_NAMES = "password|passwd|pwd|token|access_token|api_?key|key|secret|signature|sig"
_PARAMETER = re.compile(rf"([?&](?:[\w-]{{0,40}}[-_])?(?:{_NAMES})=)[^\s&#\"']{{1,2000}}", re.IGNORECASE)
_IS_SECRET = re.compile(rf"(?:.*[-_])?(?:{_NAMES})", re.IGNORECASE)


def without_passwords(value: Any, mark: str = HIDDEN) -> Any:
    """Return a text, or what holds texts, with `mark` in the place of the passwords of addresses."""
    return _everywhere(value, lambda text: _PARAMETER.sub(rf"\g<1>{mark}", _PASSWORD.sub(rf"\g<1>{mark}@", text)))


def hider(models: Iterable[BaseModel]) -> Callable[[Any], Any]:
    """Return a function that also hides the secrets that `models` hold, wherever they stand in a text."""
    known = {one for one in _secrets(tuple(models)) if len(one) >= _SHORTEST_SECRET}
    forms = known | {quote(one, safe="") for one in known} | {quote(one) for one in known}
    # The longest first: one may begin with another.
    pattern = re.compile("|".join(re.escape(one) for one in sorted(forms, key=len, reverse=True)) or r"(?!)")
    return lambda value: without_passwords(_everywhere(value, lambda text: pattern.sub(HIDDEN, text)))


def discreet(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Have the errors that leave a function show none of its local variables, nor of what it has called.

    Portals print traces with them (Django's report of an error, rich, Sentry): addresses with passwords are among them.
    """

    @functools.wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            _forget(error)
            raise

    return call


def _forget(error: BaseException) -> None:
    left: list[BaseException | None] = [error]
    seen: set[int] = set()
    while left:
        one = left.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            traceback.clear_frames(one.__traceback__)
            left += [one.__cause__, one.__context__]


def _everywhere(value: Any, clean: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return clean(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {key: _everywhere(one, clean) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_everywhere(one, clean) for one in value]
    text = str(value)  # an exception, a path: whoever prints it does the same
    cleaned = clean(text)
    return value if cleaned == text else cleaned


def _secrets(value: Any) -> Iterator[str]:
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _secrets(getattr(value, name))
    elif isinstance(value, Mapping):
        yield from _secrets(tuple(value.values()))
    elif isinstance(value, tuple | list):
        for one in value:
            yield from _secrets(one)
    elif isinstance(value, str) and "://" in value:
        yield from _secrets_of_address(value)


def _secrets_of_address(address: str) -> Iterator[str]:
    try:
        parts = urlsplit(address)
        password = parts.password
    except ValueError:  # no address after all
        return
    if password:
        yield from (password, unquote(password))
    yield from (value for name, value in parse_qsl(parts.query) if _IS_SECRET.fullmatch(name))
