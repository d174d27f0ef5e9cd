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

#: Refused in any case: other processes, the kernel's own, what looks past the other two fences (io_uring past this one,
#: a file handle past Landlock, a watch on others' folders), what outlives the process (System V's IPC), and marks on
#: files, which Landlock does not know.
_NEVER = (
    *("ptrace", "process_vm_readv", "process_vm_writev", "pidfd_open", "pidfd_getfd", "pidfd_send_signal"),
    *("process_madvise", "process_mrelease", "kcmp", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "setsid", "setpgid"),
    *("mount", "umount2", "pivot_root", "chroot", "setns", "unshare", "move_mount", "open_tree", "fsopen", "fspick"),
    *("bpf", "perf_event_open", "userfaultfd", "keyctl", "add_key", "request_key", "syslog", "quotactl", "acct"),
    *("init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot", "swapon", "swapoff"),
    *("settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "sethostname", "setdomainname"),
    *("io_uring_setup", "io_uring_enter", "io_uring_register", "open_by_handle_at", "mknod", "mknodat"),
    *("fsconfig", "fsmount", "mount_setattr", "open_tree_attr", "vhangup", "iopl", "ioperm"),
    *("inotify_init", "inotify_init1", "fanotify_init", "shmget", "msgget", "semget", "mq_open"),
    *("chown", "fchown", "lchown", "fchownat", "setxattr", "lsetxattr", "fsetxattr", "setxattrat"),
    *("removexattr", "lremovexattr", "fremovexattr", "removexattrat", "file_setattr"),
    *("utime", "utimes", "futimesat"),
)

#: Modes and times of files: anybody's whose owner this user is, because Landlock does not know these calls. They are
#: answered as if done, and are not: copying a file with Python sets both, and nobody needs them of what a step makes.
_IGNORED = ("chmod", "fchmod", "fchmodat", "fchmodat2")

#: Numbers of calls that this libseccomp may be too old to know by name; the same on all architectures.
_NUMBERS = {"fchmodat2": 452, "setxattrat": 463, "removexattrat": 466, "open_tree_attr": 467, "file_setattr": 469}

#: Calls about a process, and which of their arguments names it: itself is 0.
_OF_A_PROCESS = {
    "prlimit64": 0,  # a limit of CPU time is a signal
    "setpriority": 1,
    "ioprio_set": 1,
    "sched_setscheduler": 0,
    "sched_setparam": 0,
    "sched_setattr": 0,
    "migrate_pages": 0,
    "move_pages": 0,
}

#: Refused unless a plugin says that it starts programs.
_PROGRAMS = ("execve", "execveat", "fork", "vfork")

#: Of arguments that the kernel takes for an int: what stands above is nothing to it.
_INT = 0xFFFFFFFF

_SOCKET_TYPE = 0xF  # linux/net.h: SOCK_TYPE_MASK
_CLONE_THREAD = 0x00010000  # linux/sched.h
_PR_SET_DUMPABLE, _PR_SET_PDEATHSIG, _PR_GET_SECCOMP = 4, 1, 21  # linux/prctl.h
_F_SETOWN, _F_SETSIG, _F_SETOWN_EX = 8, 10, 15  # asm-generic/fcntl.h
_FIOSETOWN, _SIOCSPGRP = 0x8901, 0x8902  # asm-generic/sockios.h
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
    rules = _Rules(_library())
    rules.refuse_always()
    if not network:
        rules.refuse_network()
    if not programs:
        rules.refuse_programs(pid)
    return rules.program()


class _Rules:
    """What is refused, in libseccomp's words."""

    def __init__(self, seccomp: ModuleType) -> None:
        self._seccomp = seccomp
        self._filter = seccomp.SyscallFilter(seccomp.ALLOW)
        # By a call of another architecture; a thread's death alone would be waited for.
        self._filter.set_attr(seccomp.Attr.ACT_BADARCH, seccomp.KILL_PROCESS)

    def refuse_always(self) -> None:
        for name in _NEVER:
            self._refuse(name)
        for name in _IGNORED:
            self._refuse(name, code=0)
        # Without a time it is touch(1), which makes the file if it is told that it can't.
        self._refuse("utimensat", self._unlike(2, 0), code=0)
        self._refuse("utimensat", self._seccomp.Arg(2, self._seccomp.EQ, 0))
        for name, argument in _OF_A_PROCESS.items():
            self._refuse(name, self._unlike(argument, 0))
        for option in (_PR_SET_DUMPABLE, _PR_SET_PDEATHSIG):
            self._refuse("prctl", self._equal(0, option))
        # Whoever a file or a socket has for its owner gets a signal when it moves.
        for option in (_F_SETOWN, _F_SETSIG, _F_SETOWN_EX):
            self._refuse("fcntl", self._equal(1, option))
        for request in (_FIOSETOWN, _SIOCSPGRP):
            self._refuse("ioctl", self._equal(1, request))

    def refuse_network(self) -> None:
        # CUDA's driver makes a socket of its own at its start (seen with 580.159), which reaches nobody.
        self._refuse("connect")
        self._refuse("sendto", self._unlike(4, 0))  # to an address, which needs no connection
        self._refuse("sendmsg")
        self._refuse("sendmmsg")
        self._refuse("socket", self._unlike(0, socket.AF_UNIX))
        self._refuse("socket", self._masked(1, _SOCKET_TYPE, socket.SOCK_DGRAM))

    def refuse_programs(self, pid: int) -> None:
        for name in _PROGRAMS:
            self._refuse(name)
        self._refuse("clone", self._masked(0, _CLONE_THREAD, 0))
        # Its flags lie in memory, where no filter sees them; libraries then take clone.
        self._refuse("clone3", code=errno.ENOSYS)
        for name in ("kill", "tgkill"):
            self._refuse(name, self._unlike(0, pid))
        self._refuse("tkill")

    def program(self) -> bytes:
        with tempfile.TemporaryFile() as file:
            self._filter.export_bpf(file)
            file.seek(0)
            return file.read()

    def _refuse(self, name: str, *arguments: object, code: int = errno.EPERM) -> None:
        try:
            self._filter.add_rule(self._seccomp.ERRNO(code), _NUMBERS.get(name, name), *arguments)
        except (OSError, ValueError):  # this libseccomp, or this architecture, doesn't know the call
            return

    def _unlike(self, argument: int, value: int) -> object:
        return self._seccomp.Arg(argument, self._seccomp.NE, value)

    def _equal(self, argument: int, value: int) -> object:
        return self._masked(argument, _INT, value)

    def _masked(self, argument: int, mask: int, value: int) -> object:
        return self._seccomp.Arg(argument, self._seccomp.MASKED_EQ, mask, value)


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
