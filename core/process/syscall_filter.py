"""The system calls that a child process has no business with: a program for the kernel's seccomp.

The worker compiles it, because libseccomp takes longer to load than all else that confines a child; the child has only
to hand it to the kernel. What is not named is allowed: codecs and numerical libraries need more calls than anybody can
list.
"""

from __future__ import annotations

import ctypes
import errno
import importlib
import os
import socket
import tempfile
from collections.abc import Mapping
from functools import cache
from types import ModuleType

#: Refused in any case: other processes, the kernel's own, and what looks past the other two fences (io_uring past this
#: one, a file handle past Landlock).
_NEVER = (
    *("ptrace", "process_vm_readv", "process_vm_writev", "pidfd_open", "pidfd_getfd", "pidfd_send_signal"),
    *("process_madvise", "process_mrelease", "kcmp", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "setsid", "setpgid"),
    *("mount", "umount2", "pivot_root", "chroot", "setns", "unshare", "move_mount", "open_tree", "fsopen", "fspick"),
    *("bpf", "perf_event_open", "userfaultfd", "keyctl", "add_key", "request_key", "syslog", "quotactl", "acct"),
    *("init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot", "swapon", "swapoff"),
    *("settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "sethostname", "setdomainname"),
    *("io_uring_setup", "io_uring_enter", "io_uring_register", "open_by_handle_at", "mknod", "mknodat"),
)

#: Refused unless a plugin says that it starts programs.
_PROGRAMS = ("execve", "execveat", "fork", "vfork")

_SOCKET_TYPE = 0xF  # linux/net.h: SOCK_TYPE_MASK
_CLONE_THREAD = 0x00010000  # linux/sched.h
_PR_SET_DUMPABLE, _PR_SET_PDEATHSIG, _PR_GET_SECCOMP = 4, 1, 21  # linux/prctl.h
_SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_TSYNC = 1, 1  # linux/seccomp.h
_SYS_SECCOMP: Mapping[str, int] = {"x86_64": 317, "aarch64": 277}

#: Bytes of an instruction, struct sock_filter of linux/filter.h.
_INSTRUCTION = 8


class _Program(ctypes.Structure):
    """Of linux/filter.h: struct sock_fprog."""

    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def build(pid: int, *, network: bool, programs: bool) -> bytes:
    """Return the program for the process `pid`, which may signal itself alone; one with programs also those.

    Raises:
        OSError, RuntimeError, ImportError: libseccomp is not here, or refuses.
    """
    seccomp = _library()
    refused = seccomp.ERRNO(errno.EPERM)
    rules = seccomp.SyscallFilter(seccomp.ALLOW)

    def refuse(name: str, *arguments: object, action: int = refused) -> None:
        try:
            rules.add_rule(action, name, *arguments)
        except (OSError, ValueError):  # this libseccomp, or this architecture, doesn't know the call
            return

    for name in (*_NEVER, *(() if programs else _PROGRAMS)):
        refuse(name)
    if not network:
        # CUDA's driver makes a socket of its own at its start (seen with 580.159), which reaches nobody.
        refuse("connect")
        refuse("socket", seccomp.Arg(0, seccomp.NE, socket.AF_UNIX))
        refuse("socket", seccomp.Arg(1, seccomp.MASKED_EQ, _SOCKET_TYPE, socket.SOCK_DGRAM))
    if not programs:
        refuse("clone", seccomp.Arg(0, seccomp.MASKED_EQ, _CLONE_THREAD, 0))
        # Its flags lie in memory, where no filter sees them; libraries then take clone.
        refuse("clone3", action=seccomp.ERRNO(errno.ENOSYS))
        for name in ("kill", "tgkill"):
            refuse(name, seccomp.Arg(0, seccomp.NE, pid))
        refuse("tkill")
    for option in (_PR_SET_DUMPABLE, _PR_SET_PDEATHSIG):
        refuse("prctl", seccomp.Arg(0, seccomp.EQ, option))
    with tempfile.TemporaryFile() as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()


@cache
def _library() -> ModuleType:
    return importlib.import_module("pyseccomp")


@cache
def lack() -> str:
    """Return why this host has no filter, "" where it has: by this machine, the kernel (prctl(2)) and libseccomp."""
    if os.uname().machine not in _SYS_SECCOMP:
        return f"unknown on {os.uname().machine}"
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_GET_SECCOMP, 0, 0, 0, 0) < 0:
        return "the kernel was built without"
    try:
        build(os.getpid(), network=False, programs=False)
    except ImportError:
        return "pip install pyseccomp"
    except (OSError, RuntimeError) as error:
        return str(error)
    return ""


def load(program: bytes) -> None:
    """Put the program into force for all threads of this process, which then gain no privileges by programs any more.

    Raises:
        OSError: the kernel does not take it.
    """
    number = _SYS_SECCOMP[os.uname().machine]
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(program, len(program))
    packed = _Program(len(program) // _INSTRUCTION, ctypes.addressof(buffer))
    if libc.syscall(number, _SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_TSYNC, ctypes.byref(packed)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"seccomp: {os.strerror(code)}")
