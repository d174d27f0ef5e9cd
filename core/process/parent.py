"""A service's process ends with the one that started it, or the next set would work beside it."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Mapping

_PR_SET_PDEATHSIG = 1  # linux/prctl.h

#: Carries the parent's number, for a parent that dies before the kernel is told.
_VARIABLE = "_AMPHIPOD_PARENT"


def named() -> Mapping[str, str]:
    """Return the variable by which a process that we start knows whom to follow."""
    return {_VARIABLE: str(os.getpid())}


def follow_named() -> None:
    """Stop as by SIGTERM when the process dies that has named itself to us, if one has."""
    if parent := os.environ.pop(_VARIABLE, ""):
        follow(int(parent))


def follow(parent: int) -> None:
    """Stop as by SIGTERM when our parent dies; at once if it has."""
    be_sent(signal.SIGTERM)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


def be_sent(number: signal.Signals) -> None:
    """Have the kernel send us this signal when our parent dies, from now on."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
