"""Who may use the HTTP side: API tokens. Only their hashes are kept, in `<jobs root>/tokens.json`.

A token reads `amp_<id>_<secret>`. Its secret is 256 random bits, so a plain hash keeps it: nothing is there to guess.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Literal, get_args

from pydantic import TypeAdapter, ValidationError

from core.errors import BadCall, BadSettings
from core.model import Model, now
from core.storage import files

#: What a token allows; each includes those before it.
Scope = Literal["read", "submit", "manage"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

_FILE = "tokens.json"

_PREFIX = "amp"

#: Compared with where no token has the given id, so that the answer takes as long.
_NOBODY = hashlib.sha256(b"").hexdigest()


class Token(Model):
    """What is kept of a token."""

    id: str
    #: Whose it is, for a person.
    name: str = ""
    scope: Scope
    created_at: datetime
    expires_at: datetime | None = None
    sha256: str

    @property
    def is_expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= now()


_TOKENS = TypeAdapter(tuple[Token, ...])


def allows(scope: Scope, needed: Scope) -> bool:
    """Tell whether a scope includes another."""
    return SCOPES.index(scope) >= SCOPES.index(needed)


def create(root: Path, scope: Scope, *, name: str = "", expires_at: datetime | None = None) -> tuple[Token, str]:
    """Make a token. Returns what is kept, and the token itself, which nobody can read again.

    Raises:
        NotWritable, NoSpace
    """
    text = f"{_PREFIX}_{secrets.token_hex(4)}_{secrets.token_urlsafe(32)}"
    token = Token(
        id=text.split("_")[1],
        name=name,
        scope=scope,
        created_at=now(),
        expires_at=expires_at,
        sha256=_hash(text),
    )
    with _locked(root):
        _write(root, [*read(root), token])
    return token, text


def revoke(root: Path, token: str) -> Token:
    """Take a token back, by its id; from now on nobody is answered by it.

    Raises:
        BadCall: there is none with this id.
    """
    with _locked(root):
        known = read(root)
        found = next((one for one in known if one.id == token), None)
        if found is None:
            raise BadCall(f"no token {token!r}", remedy="see `amphipod token list`")
        _write(root, [one for one in known if one is not found])
    return found


def read(root: Path) -> tuple[Token, ...]:
    """Return the tokens that were made and not taken back.

    Raises:
        BadSettings: the file can't be understood, or not be read by this user; then nobody may be let in.
    """
    path = root / _FILE
    try:
        return _TOKENS.validate_json(path.read_bytes())
    except FileNotFoundError:
        return ()
    except PermissionError as error:
        remedy = "run as the user who made the tokens"
        raise BadSettings(f"{path}: may not be read", remedy=remedy, path=str(path)) from error
    except ValidationError as error:
        raise BadSettings(f"{path}: is damaged", remedy="remove it and make new tokens", path=str(path)) from error


def find(known: Sequence[Token], text: str) -> Token | None:
    """Return the token that `text` is, unless it has expired; it takes as long whatever is wrong."""
    _, _, rest = text.partition("_")
    one = next((one for one in known if one.id == rest.partition("_")[0]), None)
    is_right = hmac.compare_digest(_hash(text), one.sha256 if one else _NOBODY)
    return one if one and is_right and not one.is_expired else None


class TokenFile:
    """The tokens as they are on the disk now, read again when the file has changed."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._stamp: tuple[int, int] | None = None
        self._known: tuple[Token, ...] = ()

    def tokens(self) -> tuple[Token, ...]:
        """Return them.

        Raises:
            BadSettings: as in `read`.
        """
        try:
            status = (self._root / _FILE).stat()
        except FileNotFoundError:
            self._stamp, self._known = None, ()
            return ()
        stamp = (status.st_ino, status.st_mtime_ns)
        if stamp != self._stamp:
            self._known = read(self._root)
            self._stamp = stamp
        return self._known


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _write(root: Path, tokens: Sequence[Token]) -> None:
    text = _TOKENS.dump_json(tuple(tokens), indent=2, exclude_none=True).decode()
    files.write_replacing(root / _FILE, text + "\n", mode=0o600)


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    """Keep others from changing the file meanwhile."""
    with files.disk_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(root / f".{_FILE}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
