"""What a process has been told in its environment: it reads it, others don't."""

from __future__ import annotations

import os
import subprocess
import sys
from textwrap import dedent

import pytest

#: Any user but root, whom nothing is hidden from.
NOBODY = 65534


def run(code: str, *, user: int | None = None, **environment: str) -> str:
    """Run code that has been secluded, as `user`; returns what it prints."""
    # Its folders may be closed to that user, so it becomes it once all is imported.
    begin = f"""
        import ctypes, os, subprocess, sys, time, multiprocessing, glob
        from core.process import environment

        if {user}:
            os.setresgid({user}, {user}, {user})
            os.setresuid({user}, {user}, {user})
            ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # as if execve had made it so

        def look(pid):
            return subprocess.run(["cat", f"/proc/{{pid}}/environ"], capture_output=True, text=True)
    """
    done = subprocess.run(
        [sys.executable, "-c", dedent(begin) + dedent(code)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_nobody_sees_it_in_proc_not_even_root() -> None:
    code = """
        assert "hush" in look(os.getpid()).stdout, "or this test shows nothing"
        environment.seclude()
        shown = look(os.getpid())
        print(shown.returncode, repr(shown.stdout.strip(chr(0))))
    """
    assert run(code, SECRET="hush") == ("0 ''\n" if os.geteuid() == 0 else "1 ''\n")


def test_the_process_itself_reads_it_as_before_and_c_libraries_do() -> None:
    code = """
        before = dict(os.environ)
        environment.seclude()
        environment.seclude()
        getenv = ctypes.CDLL(None).getenv
        getenv.restype = ctypes.c_char_p
        env = subprocess.run(["env"], capture_output=True).stdout
        print(os.environ == before, getenv(b"SECRET"), env.count(b"hush"))
    """
    assert run(code, SECRET="hush") == "True b'hush' 1\n"


def test_a_fork_is_born_so() -> None:
    code = """
        environment.seclude()
        child = multiprocessing.get_context("fork").Process(target=time.sleep, args=[5])
        child.start()
        print(repr(look(child.pid).stdout.strip(chr(0))))
        child.kill()
    """
    assert run(code, SECRET="hush") == "''\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="to become somebody else takes root")
@pytest.mark.parametrize("what", ["environ", "mem", "fd/0", "maps"])
def test_processes_of_the_same_user_see_neither_its_memory_nor_its_open_files(what: str) -> None:
    code = f"""
        def is_open():
            command = ["head", "-c", "0", f"/proc/{{os.getpid()}}/{what}"]
            return subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0

        before = is_open()
        environment.seclude()
        print(before, is_open())
    """
    assert run(code, user=NOBODY) == "True False\n"
