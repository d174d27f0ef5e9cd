"""What a child process can no longer do once it works: read or write others' files, connect, start programs.

Three fences, each for itself: Landlock on files (landlock(7)), a filter of system calls (syscall_filter.py), limits of
resources (setrlimit(2)). What this kernel lacks is left out, unless the setting `confinement` demands it.
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from core.errors import HostUnfit
from core.process import syscall_filter

_PR_SET_NO_NEW_PRIVS, _PR_SET_DUMPABLE = 38, 4  # linux/prctl.h

#: Share of the host's memory that a child's data may take where no setting says less. RLIMIT_DATA, not RLIMIT_AS:
#: threads and CUDA reserve address space by the gigabyte that nobody ever touches.
_MEMORY_SHARE = 0.75

#: Bytes that it may take even so: a small host swaps before a lecture fails.
_LEAST_MEMORY = 2 * 2**30

#: Files that a child may have open; an encode has about fifty.
_OPEN_FILES = 1024

#: What the interpreter, the C library and numerical libraries look up as they go.
_SYSTEM = (
    *("/usr", "/lib", "/lib64", "/bin", "/opt", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d"),
    *("/etc/localtime", "/etc/timezone", "/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/mime.types"),
    *("/etc/fonts", "/etc/ssl", "/etc/OpenCL", "/etc/vulkan", "/etc/alternatives"),
    *("/proc/self", "/proc/sys", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/filesystems", "/proc/version"),
    *("/proc/driver", "/sys/devices", "/sys/fs/cgroup", "/sys/module", "/sys/bus/pci", "/sys/class"),
    *("/dev/urandom", "/dev/random", "/dev/zero"),
)

#: Written too, and nobody else's; CUDA names its threads in /proc/self.
_DEVICES = ("/dev/null", "/proc/self")

#: Of graphics processors, which do a transcription; and what their drivers share memory in, with everybody.
_PROCESSORS = ("nvidia*", "dri", "kfd")
_SHARED_MEMORY = "/dev/shm"  # noqa: S108  # nosec B108  # no file of ours has a known name there


@dataclass(frozen=True)
class Fence:
    """One of them, and what this host says of it."""

    name: str
    #: Why there is none; "" where there is.
    lack: str = ""


def fences() -> tuple[Fence, ...]:
    """Return what this host can do."""
    return Fence("Landlock", _lack_of_landlock()), Fence("seccomp", syscall_filter.lack())


def demand() -> None:
    """Refuse to work where a fence is missing.

    Raises:
        HostUnfit
    """
    if lacks := [f"{fence.name} ({fence.lack})" for fence in fences() if fence.lack]:
        raise HostUnfit(
            f"AMPHIPOD_CONFINEMENT is required, and this host has no {' and no '.join(lacks)}",
            remedy="a kernel from 5.13 on with Landlock switched on, and libseccomp2; or AMPHIPOD_CONFINEMENT=auto",
        )


def compiled(pid: int, *, network: bool, programs: bool) -> bytes:
    """Return the filter for a child, empty where this host has none."""
    if syscall_filter.lack():
        return b""
    return syscall_filter.build(pid, network=network, programs=programs)


def limit(memory: int, file_size: int) -> None:
    """Bound what this process may take, and shut it against others of its user: no trace, no dump of its memory.

    :param memory: bytes of address space; 0: a share of the host's memory for its data.
    :param file_size: bytes of the largest file that it may write.
    """
    if memory:
        _lower(resource.RLIMIT_AS, memory)
    else:
        share = int(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * _MEMORY_SHARE)
        _lower(resource.RLIMIT_DATA, max(share, _LEAST_MEMORY))
    _lower(resource.RLIMIT_FSIZE, file_size)
    _lower(resource.RLIMIT_NOFILE, _OPEN_FILES)
    _lower(resource.RLIMIT_CORE, 0)
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def shut(program: bytes) -> None:
    """Put the filter of system calls into force for the whole process, where there is one.

    Raises:
        OSError: the kernel doesn't take it.
    """
    ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if program:
        syscall_filter.load(program)


def restrict(read: Iterable[Path | str | int], write: Iterable[Path | str], *, programs: bool = False) -> None:
    """Leave to this thread, and to those that it starts, the files named, the code and the system's; no others.

    :param read: files and folders, or descriptors of them: what a path leads to later on doesn't matter then.
    :param write: folders in which everything is allowed but links, devices and programs.
    :param programs: whether what can be read can be started, too.

    Raises:
        OSError, ImportError: the kernel has no Landlock, or the library isn't here.
    """
    from landlock import FSAccess, Ruleset

    ctypes.set_errno(0)  # the library takes whatever stands there for the answer of its own calls
    rules = Ruleset(FSAccess.all() & ~FSAccess.EXECUTE if programs else FSAccess.all())
    reading = FSAccess.READ_FILE | FSAccess.READ_DIR
    unwanted = (FSAccess.MAKE_CHAR, FSAccess.MAKE_BLOCK, FSAccess.MAKE_SOCK, FSAccess.MAKE_FIFO, FSAccess.MAKE_SYM)
    writing = rules.restrict_rules & ~(FSAccess.EXECUTE | FSAccess.IOCTL_DEV)
    for one in unwanted:
        writing &= ~one

    def allow(place: Path | str | int, access: FSAccess) -> None:
        path = f"/proc/self/fd/{place}" if isinstance(place, int) else place
        with suppress(FileNotFoundError, NotADirectoryError):
            rules.allow(path, rules=access if Path(path).is_dir() else access & FSAccess.all_file())

    for place in (*_SYSTEM, *code(), *read):
        allow(place, reading)
    for place in (*_DEVICES, *write):
        allow(place, writing)
    for device in _processors():
        allow(device, writing | FSAccess.IOCTL_DEV)
    if _processors():
        allow(_SHARED_MEMORY, writing)
    rules.apply()
    os.close(rules._fd)


@cache
def _processors() -> list[Path]:
    """Return the devices of graphics processors; once, because whoever is shut off can't list them any more."""
    return [device for pattern in _PROCESSORS for device in Path("/dev").glob(pattern)]


def code() -> set[str]:
    """Return the files and folders that hold what this interpreter imports, and has imported from elsewhere."""
    places = {sys.prefix, sys.base_prefix, *filter(os.path.isabs, sys.path)}
    below = tuple(f"{place}/" for place in places)
    for name, module in list(sys.modules.items()):
        if name.startswith("__editable__"):  # setuptools' finder of what was installed with pip's --editable
            places.update(getattr(module, "MAPPING", {}).values())
        elif "." not in name:
            found = getattr(module, "__path__", None) or [getattr(module, "__file__", None) or sys.prefix]
            places.update(path for path in found if not path.startswith(below))
    return places


def _lower(kind: int, wanted: int) -> None:
    """Set a limit, which stays below one that the host has set."""
    _, most = resource.getrlimit(kind)
    limit = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
    resource.setrlimit(kind, (limit, limit))


def _lack_of_landlock() -> str:
    try:
        from landlock import landlock_abi_version

        ctypes.set_errno(0)
        landlock_abi_version()
    except ImportError:
        return "pip install landlock"
    except OSError as error:
        return os.strerror(error.errno or 0)
    return ""
