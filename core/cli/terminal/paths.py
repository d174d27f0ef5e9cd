"""Paths as a person types them: counted from the folder where they stand, `..` and `~` as everywhere else."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote_to_bytes

from core.errors import BadCall
from core.storage import files

#: `https:/` and not `https://`: two slashes of a `Path` are one.
_ADDRESS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):/(?P<rest>.*)", re.DOTALL)


def source(typed: Path, roots: Sequence[Path]) -> Path:
    """Return the absolute path of a media file.

    Raises:
        BadCall: it is no file, with what to do about it.
        UnsafePath: it lies outside the media roots.
    """
    if str(typed) == "-":
        raise BadCall("standard input can't be read", remedy="write it to a file, and name that")
    path = _absolute(_from_address(typed))
    if path.is_dir():
        raise BadCall(f"{typed} is a folder", remedy="name the files in it, any number of them")
    if not path.exists():
        raise BadCall(f"{typed} does not exist", remedy=_elsewhere(typed, roots) or "check its name", path=str(path))
    return files.resolve(path, roots)


def output(typed: Path, roots: Sequence[Path]) -> Path:
    """Return the absolute path of a folder to publish into, which need not exist.

    Raises:
        BadCall: it is a file or an address.
        UnsafePath: it lies outside the media roots.
    """
    path = _absolute(_from_address(typed))
    if path.exists() and not path.is_dir():
        raise BadCall(f"--out {typed} is a file", remedy="name a folder")
    return files.resolve(path, roots)


def folders(sources: Sequence[Path], out: Path | None) -> list[Path | None]:
    """Return the folder that each source is published into: `out`, or in it one each, named like the file.

    Raises:
        BadCall: two would share one.
    """
    if out is None or len(sources) == 1:
        return [out for _ in sources]
    for stem, number in Counter(path.stem for path in sources).items():
        if number > 1:
            both = " and ".join(str(path) for path in sources if path.stem == stem)
            raise BadCall(f"{both} would share the folder {out / stem}", remedy="process them one by one")
    return [out / path.stem for path in sources]


def _absolute(path: Path) -> Path:
    """Follow links and `..` in the order in which the file system does."""
    return Path(os.path.realpath(os.path.expanduser(path)))  # noqa: PTH111  # leaves a name that is nobody's home


def _from_address(typed: Path) -> Path:
    """Return the path that a `file://` address stands for; any other path as it is."""
    found = _ADDRESS.fullmatch(str(typed))
    if found is None or typed.exists():
        return typed
    if found["scheme"].lower() != "file":
        address = f"{found['scheme']}://{found['rest']}"
        raise BadCall(f"{address} is an address", remedy="only files are read here, download it first")
    return Path(os.fsdecode(unquote_to_bytes("/" + found["rest"].removeprefix("localhost/"))))


def _elsewhere(typed: Path, roots: Sequence[Path]) -> str:
    """Say where a relative path does lead to a file."""
    found = next((root / typed for root in roots if not typed.is_absolute() and (root / typed).is_file()), None)
    return f"did you mean {found}? A relative path counts from the current folder" if found else ""
