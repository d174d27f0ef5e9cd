"""Attempts' folders, and whether anybody is still at work in them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

#: A living worker whose /proc is hidden from others of its user, as ProtectProc=invisible and PR_SET_DUMPABLE do it.
HIDDEN = """
    import json, os, subprocess, sys
    from pathlib import Path
    from core.process import environment
    from core.storage import scratch_folder
    from core.storage.files import host_name, process_identity
    from core.storage.scratch_folder import Scratch

    scratch = Scratch(Path(sys.argv[1]), "encode", 1)
    process_identity(os.getpid())  # imports a codec, which nobody else may read
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
    ready, done = os.pipe(), os.pipe()
    worker = os.fork()
    if not worker:
        environment.seclude()
        about = {"host": host_name(), "pid": os.getpid(), "process": process_identity(os.getpid())}
        scratch.owner.write_text(json.dumps(about))
        os.write(ready[1], b"x")
        os.read(done[0], 1)
        os._exit(0)
    os.close(ready[1])
    assert os.read(ready[0], 1)
    said = [process_identity(worker), scratch_folder.is_abandoned(scratch)]
    os.utime(scratch.owner, (1, 1))
    said.append(scratch_folder.is_abandoned(scratch))
    os.utime(scratch.owner)
    os.write(done[1], b"x")
    os.waitpid(worker, 0)
    print(*said, scratch_folder.is_abandoned(scratch))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a /proc takes root")
def test_the_attempt_of_a_worker_that_proc_hides_is_dead_when_it_gives_no_sign_of_life(tmp_path: Path) -> None:
    (shared := Path("/tmp") / f"amphipod-scratch-{os.getpid()}").mkdir()
    shared.chmod(0o777)
    try:
        mount = 'mount -t proc -o hidepid=invisible proc /proc && exec "$@"'
        command = ["unshare", "--mount", "sh", "-c", mount, "sh", sys.executable, "-c", dedent(HIDDEN), str(shared)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        # Hidden; at work; silent for too long; and gone.
        assert done.stdout.split() == ["None", "False", "True", "True"]
    finally:
        (shared / "owner.json").unlink(missing_ok=True)
        shared.rmdir()
