"""The systemd units of examples/pod: what they keep a service from, and that it works all the same."""

from __future__ import annotations

import ctypes.util
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from core import jobs
from core.settings import Settings, load, unknown_variables
from plugins.xapi.settings import XapiSettings

from ..service.conftest import until
from .under_unit import allowed, values

UNITS = sorted((Path(__file__).parents[2] / "examples" / "pod" / "systemd").glob("*.service"))
UNDER_UNIT = Path(__file__).parent / "under_unit.py"

#: Of what `systemd-analyze security` says, 0 being a service that can do nothing and 10 one that may do all.
EXPOSURE = 1.8

with_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")


@with_systemd
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_is_exposed_to_little(unit: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE * 10:.0f}"]
    done = subprocess.run([*command, str(unit)], capture_output=True, text=True)

    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert found, done.stderr
    assert float(found[1]) <= EXPOSURE, done.stdout
    assert done.returncode == 0


def test_units_differ_in_nothing_that_confines_them_but_in_what_their_work_needs() -> None:
    own = ("Description", "ExecStart", "Memory", "CPUWeight", "IOWeight", "#", "StateDirectory", "Environment", "Type")
    of_services = ("Restart", "TimeoutStopSec", "KillMode", "RuntimeDirectory", "WantedBy", "[Install]")
    common = [
        [line for line in unit.read_text().splitlines() if line and not line.startswith((*own, *of_services))]
        for unit in UNITS
    ]
    assert len(common) >= 5
    assert all(lines == common[0] for lines in common)
    assert "NoNewPrivileges=yes" in common[0]
    assert "RequiresMountsFor=/srv/pod/media /srv/amphipod" in common[0]
    writable = [unit.stem for unit in UNITS if values(unit, "MemoryDenyWriteExecute") != ["yes"]]
    assert writable == ["amphipod-transcript"]


@with_systemd
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_filter_lets_the_process_of_a_step_confine_itself(unit: Path) -> None:
    needed = {"prctl", "seccomp", "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self", "prlimit64"}
    assert not needed - allowed(unit)
    assert not allowed(unit) & {"ptrace", "mount", "bpf", "kexec_load", "init_module", "setuid", "setpriority"}


def test_the_secrets_that_a_unit_names_are_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As systemd loads a folder: a credential each, called after the folder's id and the file's name."""
    (named,) = {
        match for unit in UNITS for match in re.findall(r"a file each in that folder: ([\w, ]+) \(", unit.read_text())
    }
    (loaded,) = {value for unit in UNITS for value in values(unit, "LoadCredential")}
    prefix = loaded.partition(":")[0]
    for name in named.split(", "):
        (tmp_path / f"{prefix}_{name}").write_text(f"redis://{name}\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))

    assert unknown_variables({"xapi": ["AMPHIPOD_XAPI_LRS_PWD"]}) == []
    assert (found := load()).broker_url == "redis://broker_url"
    assert found.pod_api_token
    assert found.of_plugin("xapi", XapiSettings).lrs_pwd


@with_systemd
@pytest.mark.skipif(os.geteuid() != 0, reason="to give capabilities up takes root")
@pytest.mark.skipif(not ctypes.util.find_library("seccomp"), reason="libseccomp is not installed")
@pytest.mark.long
def test_a_worker_does_its_work_under_its_unit_and_sweep_under_its_own(toy_service: Settings, tmp_path: Path) -> None:
    def confined(name: str, *words: str) -> list[str]:
        unit = next(unit for unit in UNITS if unit.stem == f"amphipod-{name}")
        return [sys.executable, str(UNDER_UNIT), str(unit), sys.executable, "-m", "core.cli", *words]

    output = toy_service.media_roots[0] / "0042"
    with (log := tmp_path / "log").open("wb") as file:
        environment = os.environ | {"AMPHIPOD_OUTPUT_MODE": "0664", "AMPHIPOD_STEP_MEMORY_LIMIT": str(1 << 40)}
        command = confined("encode", "worker", "encoding", "callbacks")
        worker = subprocess.Popen(command, stdout=file, stderr=file, env=environment)
    try:
        until(lambda: log.read_text().count("ready for action") == 2, what="the workers start")
        assert b"NoNewPrivs:\t1\nSeccomp:\t2" in Path(f"/proc/{worker.pid}/status").read_bytes()
        job = jobs.submit("a.mp4", output=output, options={"do": {"write": "x"}}, settings=toy_service)
        until((toy_service.jobs_root / "jobs" / job / "manifest.json").exists, what="it is published")
    finally:
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0, log.read_text()

    assert jobs.status(job, settings=toy_service).state == "succeeded"
    assert stat.S_IMODE((output / "360p.mp4").stat().st_mode) == 0o664
    assert stat.S_IMODE(output.stat().st_mode) == 0o775, "without the group's bit, which the unit denies"
    swept = subprocess.run(confined("sweep", "sweep"), capture_output=True, text=True)
    assert swept.returncode == 0, swept.stderr
