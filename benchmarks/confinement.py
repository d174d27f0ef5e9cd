"""What it costs that a step's process shuts itself off.

    python -m benchmarks.confinement [ROUNDS]

Alternating attempts with `AMPHIPOD_CONFINEMENT` off and auto, at the encode of a lecture of 30 s and at a step that
does nothing. Gates: at most 1 % more CPU for the lecture, at most 50 ms more for a child.
"""

from __future__ import annotations

import os
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.media import lecture
from core.model import Job, Source
from core.pipeline import attempt, lifecycle
from core.pipeline.planning import Host
from core.plugin_host.manager import Manager
from core.settings import Settings

DEAREST = 1.01
LONGEST = 0.050

#: An engine that does nothing, beside this file while it runs.
_IDLE = """
from core import Artifact, StepOutput, hookimpl

@hookimpl
def encode(context):
    (context.output / "360p.mp4").touch()
    return StepOutput(artifacts=(Artifact(kind="rendition", path="360p.mp4", media_type="video/mp4"),))
"""


def idle(folder: Path) -> None:
    """Install the engine that does nothing where this process and its children find it."""
    metadata = folder / "amphipod_idle-1.0.dist-info"
    metadata.mkdir()
    (folder / "idle.py").write_text(_IDLE)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: amphipod-idle\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[amphipod]\nidle = idle\n")
    sys.path.insert(0, str(folder))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])


def hosts(root: Path, *plugins: str) -> dict[str, Host]:
    found = {}
    for confinement in ("off", "auto"):
        settings = Settings(jobs_root=root, plugins_only=plugins, media_roots=(root.parent,), confinement=confinement)
        found[confinement] = Host(settings, Manager(settings))
    return found


def once(host: Host, source: Path) -> tuple[float, float]:
    """Return CPU and wall seconds of one attempt, its child's and ours."""
    job = Job(id=lifecycle.new_id(), sources=(Source(path=source),), steps=("encode",))
    folder, _ = lifecycle.submit(job, host.settings.jobs_root)
    begin, used = time.perf_counter(), _cpu()
    result = attempt.run_step(host, folder, "encode")
    assert result.reason is None, result.reason
    return _cpu() - used, time.perf_counter() - begin


def _cpu() -> float:
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in usages)


def compare(each: dict[str, Host], source: Path, rounds: int) -> dict[str, tuple[float, float]]:
    """Return the medians of CPU and wall seconds by setting; the first round warms up."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in each}
    for _ in range(rounds + 1):
        for name, host in each.items():
            taken[name].append(once(host, source))
    return {
        name: (statistics.median(cpu for cpu, _ in tries[1:]), statistics.median(wall for _, wall in tries[1:]))
        for name, tries in taken.items()
    }


def main(rounds: int) -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "site").mkdir()
        idle(folder / "site")
        film = lecture(folder / "lecture.mp4", seconds=30)
        child = compare(hosts(folder / "idle", "idle"), film, 10 * rounds)
        whole = compare(hosts(folder / "encode", "encode"), film, rounds)
    more = child["auto"][1] - child["off"][1]
    more_cpu = child["auto"][0] - child["off"][0]
    ratio = whole["auto"][0] / whole["off"][0]
    print(f"a child: {more * 1000:+.1f} ms, of them CPU {more_cpu * 1000:+.1f} ms")
    print(f"encode of 30 s: CPU {whole['auto'][0]:.2f} s shut off, {whole['off'][0]:.2f} s open: {ratio:.3f}")
    return int(more > LONGEST or ratio > DEAREST)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5))
