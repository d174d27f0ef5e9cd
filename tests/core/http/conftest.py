"""What tests of downloads share: a job that names an address of a stranger's."""

from __future__ import annotations

from pathlib import Path

from core.model import Download, Job, Source


def job_of(folder: Path, url: str) -> Job:
    path = folder / "downloads" / "a.mp4"
    return Job(
        id="one",
        sources=(Source(path=path),),
        steps=("encode",),
        downloads=(Download(path=path, url=url, guarded=True),),
    )
