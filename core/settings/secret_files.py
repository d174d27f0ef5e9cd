"""Settings that are read from files, as systemd, Docker and Kubernetes hand over secrets.

`AMPHIPOD_<NAME>_FILE` names a file that holds what `AMPHIPOD_<NAME>` would; without it a credential of systemd's
(LoadCredential=) counts that is called like the variable, in lower case. What a file holds is never repeated.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from core.errors import BadSettings

#: At the end of a variable that names a file.
SUFFIX = "_FILE"

#: systemd's: the folder that holds the credentials of a unit (systemd.exec(5)).
CREDENTIALS = "CREDENTIALS_DIRECTORY"

#: Bytes; the largest secret is a list of record stores.
_LIMIT = 1 << 20


@dataclass(frozen=True)
class SecretFile:
    """A file that holds the value of one setting."""

    #: What names it: AMPHIPOD_BROKER_URL_FILE, or the credential amphipod_broker_url.
    place: str
    path: Path

    def read(self) -> str:
        """Return the value, without the line breaks that editors and `echo` leave at the end.

        Raises:
            BadSettings: it can't be read, or holds no text.
        """
        try:
            # Without O_NONBLOCK the opening of a FIFO that nobody writes to has no end.
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            with open(descriptor, "rb") as file:  # noqa: PTH123  # a descriptor
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise self._fault("is not a file", "name the file that holds the secret")
                data = file.read(_LIMIT + 1)
        except OSError as error:
            words = f"can't be read ({error.strerror})"
            raise self._fault(words, "give the user of this process, and nobody else, the right to read it") from None
        try:
            text = data.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            text = "\0"
        if "\0" in text or len(data) > _LIMIT:
            raise self._fault("is not the text of a secret", "write the secret into it, and nothing else")
        if not text:
            raise self._fault("is empty", "write the secret into it")
        return text

    @property
    def is_exposed(self) -> bool:
        """Whether every user of this host may read it."""
        try:
            return bool(self.path.stat().st_mode & stat.S_IROTH)
        except OSError:
            return False

    def _fault(self, words: str, remedy: str) -> BadSettings:
        return BadSettings(f"{self.place}: {self.path} {words}", remedy=remedy, path=str(self.path))


def find(variable: str) -> SecretFile | None:
    """Return the file that holds the value of a variable, if one is named."""
    if named := os.environ.get(variable + SUFFIX):
        return SecretFile(variable + SUFFIX, Path(named))
    credential = variable.lower()
    if (folder := os.environ.get(CREDENTIALS)) and os.path.lexists(path := Path(folder) / credential):
        return SecretFile(f"credential {credential}", path)
    return None


def credentials() -> list[str]:
    """Return the names of the credentials that are meant for us."""
    folder = os.environ.get(CREDENTIALS)
    try:
        return (
            sorted(path.name for path in Path(folder).iterdir() if path.name.startswith("amphipod_")) if folder else []
        )
    except OSError:
        return []
