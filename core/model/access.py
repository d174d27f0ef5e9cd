"""What the child process of a step may reach beside its own: said by the plugins that work in it."""

from __future__ import annotations

from collections.abc import Iterable

from core.model.base import FilePath, Model


class Access(Model):
    """More than a step's inputs, code and folders, which its child process can reach in any case."""

    #: Files, and folders with all that is below them.
    read: tuple[FilePath, ...] = ()
    #: Folders.
    write: tuple[FilePath, ...] = ()
    #: Plugins whose own settings it reads too: of shared code, `media`.
    settings: tuple[str, ...] = ()
    #: Whether it connects to other hosts, or to services of this one.
    network: bool = False
    #: Whether it starts programs, or processes of its own.
    programs: bool = False


def union(each: Iterable[Access]) -> Access:
    """Return what several plugins need together."""
    given = list(each)
    return Access(
        read=tuple(path for one in given for path in one.read),
        write=tuple(path for one in given for path in one.write),
        settings=tuple(name for one in given for name in one.settings),
        network=any(one.network for one in given),
        programs=any(one.programs for one in given),
    )
