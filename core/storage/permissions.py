"""Rights on what is left for a portal, which may run as another user and must be able to delete it."""

from __future__ import annotations

import contextlib
import os
import shutil
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

    def grant(self, path: Path) -> None:
        """Give a file or a folder these rights; a folder that is somebody else's keeps its own.

        Raises:
            NotWritable: this user may not give files to that group.
        """
        is_folder = path.is_dir()
        try:
            if self.group is not None:
                shutil.chown(path, group=self.group)
            if self.mode is not None:
                _change(path, self.mode, is_folder=is_folder)
        except (LookupError, PermissionError) as error:
            if is_folder and path.stat().st_uid != os.geteuid():
                return
            raise NotWritable(
                f"{path}: can't be given to the group {self.group!r}",
                remedy="AMPHIPOD_OUTPUT_GROUP must be a group that this user is in",
                path=str(path),
            ) from error


def _change(path: Path, mode: int, *, is_folder: bool) -> None:
    """Set a mode; who may read a folder may search it, and what is made in it later has its group too."""
    if is_folder:
        mode |= (mode & 0o444) >> 2
        with contextlib.suppress(PermissionError):  # systemd's RestrictSUIDSGID=
            path.chmod(mode | stat.S_ISGID)
            return
    path.chmod(mode)


def of(settings: Settings) -> Access:
    """Return the access that the settings ask for."""
    return Access(settings.output_mode, settings.output_group)
