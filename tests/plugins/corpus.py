"""Does jobs for strangers' files, in supervised children under the default limits, and writes down what became of each.

`python corpus.py FOLDER`: every file in FOLDER/media, with what stands beside it, put there by test_corpus.py. It is
a process of its own, so that the largest child that it has waited for is one of these.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

from core import Job, Source
from core.pipeline import in_process, lifecycle
from core.pipeline.planning import Host
from core.plugin_host.manager import Manager
from core.process import spawn
from core.settings import Settings
from core.storage import job_state

#: Kinds of pictures, which are given as watermarks.
PICTURES = {".png", ".jpeg", ".webp", ".gif"}


def jobs(path: Path, folder: Path) -> list[tuple[str, Path, dict[str, Any]]]:
    """Return what is asked for with a file: step, source and options."""
    lecture, fast = folder / "lecture.mp4", {"preset": "ultrafast"}
    if path.suffix in PICTURES:
        return [("encode", lecture, {**fast, "dressing": {"watermark": {"path": str(path)}}})]
    if path.name.startswith("credits"):
        return [("encode", lecture, {**fast, "dressing": {"opening": str(path)}})]
    return [("encode", path, fast), ("transcribe", path, {"model": str(folder / "micro-whisper.pt")})]


def snapshot(folder: Path, jobs_root: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of all files but the jobs' own, and the report."""
    found = {}
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if Path(place, name) not in (jobs_root, folder / "run")]
        for name in {*names} - {"report.jsonl"}:
            path = Path(place, name)
            info = path.lstat()
            found[str(path)] = info.st_size, info.st_mtime_ns
    return found


def answer(host: Host, number: str, path: Path, step: str, source: Path, options: dict[str, Any]) -> dict[str, Any]:
    begin = time.monotonic()
    job = Job(id=f"{step}-{number}", sources=(Source(path=source),), steps=(step,), language="en", options=options)
    folder, _ = lifecycle.submit(job, host.settings.jobs_root)
    in_process.run_embedded(host, folder)
    result = job_state.result(folder, step, folder.run())
    assert result
    return {
        "path": str(path),
        "step": step,
        "state": str(result.state),
        "attempt": result.attempt,
        "reason": result.reason or "",
        "notes": list(result.notes),
        "seconds": time.monotonic() - begin,
        "peak": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024,
    }


def main(folder: Path) -> None:
    settings = Settings(jobs_root=folder / "root", media_roots=(folder,), run_dir=folder / "run", keep_seconds=60)
    host = Host(settings, Manager(settings))
    report = (folder / "report.jsonl").open("w", buffering=1)
    for number, path in enumerate(sorted((folder / "media").iterdir())):
        before = snapshot(folder, settings.jobs_root)
        for step, source, options in jobs(path, folder):
            told = answer(host, str(number), path, step, source, options)
            told["touched"] = sorted(dict(before.items() ^ snapshot(folder, settings.jobs_root).items()))
            report.write(json.dumps(told) + "\n")
    spawn.keeper.end()  # else the child that transcribes isn't counted
    report.write(json.dumps({"peak": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024}) + "\n")
    report.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
