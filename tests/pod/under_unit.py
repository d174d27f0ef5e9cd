"""Runs a command as a unit of systemd's would confine it: `python under_unit.py UNIT COMMAND...`, as root.

Without systemd itself: its system call filter, what it denies besides (setgid bits, memory that is both written and
executed, families of sockets), no capability, its umask. Mounts and networks are left as they are.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

_ALLOW, _DENY = 0x7FFF0000, 0x00050000 | errno.EPERM  # linux/seccomp.h
_EQUAL, _MASKED_EQUAL = 4, 7  # enum scmp_compare of seccomp.h
_PR_SET_NO_NEW_PRIVS, _PR_CAPBSET_DROP, _PR_SET_MDWE = 38, 24, 65  # linux/prctl.h
_S_ISGID = 0o2000

#: Which argument is the mode.
_MODES = {"chmod": 1, "fchmod": 1, "fchmodat": 2}


class _Compare(ctypes.Structure):
    """Compares one argument of a system call; struct scmp_arg_cmp of seccomp.h."""

    _fields_ = (
        ("argument", ctypes.c_uint),
        ("how", ctypes.c_int),
        ("one", ctypes.c_uint64),
        ("other", ctypes.c_uint64),
    )


def values(unit: Path, name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", unit.read_text(), re.MULTILINE)


def calls(group: str) -> set[str]:
    """Return the system calls of a group of systemd's, or the one that is no group."""
    if not group.startswith("@"):
        return {group}
    listed = subprocess.run(["systemd-analyze", "syscall-filter", group], capture_output=True, text=True, check=True)
    names = [line.strip() for line in listed.stdout.splitlines()[1:] if line.strip() and line.strip()[0] != "#"]
    return set().union(*map(calls, names))


def allowed(unit: Path) -> set[str]:
    """Return the system calls that a unit's filters allow, as systemd.exec(5) merges them."""
    found: set[str] = set()
    for line in values(unit, "SystemCallFilter"):
        named = set().union(*(calls(one) for one in line.removeprefix("~").split()))
        found = found - named if line.startswith("~") else found | named
    return found | calls("@default")


def confine(unit: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(64):
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS)")
    if values(unit, "MemoryDenyWriteExecute") == ["yes"]:
        libc.prctl(_PR_SET_MDWE, 1, 0, 0, 0)  # unknown to Linux before 6.3
    _load_filter(unit)


def _load_filter(unit: Path) -> None:
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    filter_ = ctypes.c_void_p(library.seccomp_init(_DENY))
    for name in allowed(unit):
        number = library.seccomp_syscall_resolve_name(name.encode())
        for rule in _rules(unit, name) if number >= 0 else ():
            if fault := library.seccomp_rule_add_array(
                filter_, _ALLOW, number, len(rule), (_Compare * len(rule))(*rule)
            ):
                raise OSError(-fault, name)
    if fault := library.seccomp_load(filter_):
        raise OSError(-fault, "seccomp_load")


def _rules(unit: Path, name: str) -> list[tuple[_Compare, ...]]:
    """Return the conditions under each of which a call is allowed."""
    if name in _MODES and values(unit, "RestrictSUIDSGID") == ["yes"]:
        return [(_Compare(_MODES[name], _MASKED_EQUAL, _S_ISGID, 0),)]
    if name == "socket":
        families = values(unit, "RestrictAddressFamilies")[0].split()
        return [(_Compare(0, _EQUAL, getattr(socket, family), 0),) for family in families]
    return [()]


if __name__ == "__main__":
    unit = Path(sys.argv[1])
    os.umask(int(values(unit, "UMask")[0], 8))
    confine(unit)
    os.execvp(sys.argv[2], sys.argv[2:])
