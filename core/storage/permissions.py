"""Rights on what is left for a portal, which may run as another user and must be able to delete it."""

from __future__ import annotations

import contextlib
import grp
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from core.errors import NotWritable
from core.settings import Settings


@dataclass(frozen=True)
class Access:
    """Who may read and change; None leaves it to the umask and to the folder above."""

    mode: int | None = None
    group: str | None = None

    def grant(self, held: int, path: Path) -> None:
        """Give a file or a folder these rights; a folder that is somebody else's keeps its own.

        :param held: its descriptor: what its path leads to by now may be another's.
        :param path: for whoever reads the error.

        Raises:
            NotWritable: this user may not give files to that group.
        """
        found = os.fstat(held)
        is_folder = stat.S_ISDIR(found.st_mode)
        try:
            if self.group is not None:
                os.fchown(held, -1, grp.getgrnam(self.group).gr_gid)
            if self.mode is not None:
                _change(held, self.mode, is_folder=is_folder)
        except (LookupError, PermissionError) as error:
            if is_folder and found.st_uid != os.geteuid():
                return
            raise NotWritable(
                f"{path}: can't be given to the group {self.group!r}",
                remedy="AMPHIPOD_OUTPUT_GROUP must be a group that this user is in",
                path=str(path),
            ) from error


def _change(held: int, mode: int, *, is_folder: bool) -> None:
    """Set a mode; who may read a folder may search it, and what is made in it later has its group too."""
    if is_folder:
        mode |= (mode & 0o444) >> 2
        with contextlib.suppress(PermissionError):  # systemd's RestrictSUIDSGID=
            os.fchmod(held, mode | stat.S_ISGID)
            return
    os.fchmod(held, mode)


def of(settings: Settings) -> Access:
    """Return the access that the settings ask for."""
    return Access(settings.output_mode, settings.output_group)
