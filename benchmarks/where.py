"""Where an encode's processor time goes: `python -m benchmarks.where FILM [PROFILE]`.

The encoder runs in this process, with a stopwatch of the thread's processor time around each of its parts. What x264
and the decoder do in threads of their own is read from the kernel, by the threads' names: a thread is born with the
name of the one that starts it.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

_PR_SET_NAME = 15  # linux/prctl.h
_TICK = 1 / os.sysconf("SC_CLK_TCK")

_state = threading.local()


def measure(film: Path, profile: str, folder: Path) -> dict[str, float]:
    """Return processor seconds by part, measured in a process of its own."""
    command = (sys.executable, "-m", "benchmarks.where", str(film), profile)
    root = Path(__file__).parents[1]
    done = subprocess.run(
        command, cwd=root, env=os.environ | {"TMPDIR": str(folder)}, stdout=subprocess.PIPE, check=True
    )
    parts: dict[str, float] = json.loads(done.stdout)
    return parts


class Stopwatch:
    """Processor seconds by part and thread; a part within a part counts for itself alone."""

    def __init__(self) -> None:
        self.spent: dict[tuple[str, str], float] = defaultdict(float)

    def around(self, part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            outer, _state.inner = getattr(_state, "inner", 0.0), 0.0
            begin = time.thread_time()
            try:
                return call(*args, **kwargs)
            finally:
                whole = time.thread_time() - begin
                self.spent[part, getattr(_state, "name", "")] += whole - _state.inner
                _state.inner = outer + whole

        return timed

    def of(self, part: str) -> float:
        return sum(seconds for (name, _), seconds in self.spent.items() if name == part)


class Threads(threading.Thread):
    """Reads each thread's processor time, ten times a second: it is gone when the thread is."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._ended = threading.Event()
        self._seen: dict[str, tuple[str, float]] = {}

    def run(self) -> None:
        _name("watch")
        while not self._ended.wait(0.1):
            for task in Path("/proc/self/task").iterdir():
                with suppress(OSError):
                    name, _, rest = (task / "stat").read_text().partition("(")[2].rpartition(")")
                    fields = rest.split()
                    self._seen[task.name] = name, (int(fields[11]) + int(fields[12])) * _TICK

    def stop(self) -> None:
        self._ended.set()
        self.join()

    def of(self, prefix: str) -> float:
        return sum(seconds for name, seconds in self._seen.values() if name.startswith(prefix))


def _name(name: str) -> None:
    _state.name = name
    ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode())


def _as_rendition(call: Callable[..., None]) -> Callable[..., None]:
    """Give this thread, and those that it starts meanwhile, the name of the rendition that is worked on."""

    def renamed(encoder: Any, *args: Any) -> None:
        _name(f"x264 {args[0].name if args else encoder.rendition.name}")
        try:
            call(encoder, *args)
        finally:
            _name("main")

    return renamed


def _encode(film: Path, profile: str) -> dict[str, float]:
    from core.testing import fake_context, fake_job
    from plugins.encode import engine
    from plugins.encode.audio.encoders import AacEncoders, AudioFile
    from plugins.encode.audio.resample import Resampler
    from plugins.encode.options import EncodeOptions
    from plugins.encode.output import thumbnails
    from plugins.encode.output.package import Package
    from plugins.encode.source import tracks
    from plugins.encode.video import pictures
    from plugins.encode.video.encoder import RenditionEncoder
    from plugins.media import decoding

    watch, threads = Stopwatch(), Threads()
    for part, owner, calls in (
        ("look into the source", engine, ("film_of",)),
        ("scale", pictures.Scaler, ("scale",)),
        ("sound: resample, AAC, MP3", Resampler, ("resample", "flush")),
        ("sound: resample, AAC, MP3", AacEncoders, ("encode",)),
        ("sound: resample, AAC, MP3", AudioFile, ("encode",)),
        ("images", thumbnails.Stills, ("show", "write")),
        ("write MP4 and HLS", Package, ("mux", "close")),
    ):
        for call in calls:
            setattr(owner, call, watch.around(part, getattr(owner, call)))
    vars(tracks)["decode"] = watch.around("decode", decoding.decode)
    for call in ("__init__", "run"):
        setattr(RenditionEncoder, call, _as_rendition(getattr(RenditionEncoder, call)))
    _name("main")
    imports = time.process_time()
    threads.start()
    with tempfile.TemporaryDirectory() as folder:
        context = fake_context(Path(folder) / "job", film)
        done = engine.encode_lecture(fake_job(film), film, EncodeOptions.model_validate({"profile": profile}), context)
    threads.stop()
    total = sum(resource.getrusage(resource.RUSAGE_SELF)[:2]) - threads.of("watch")
    parts = {"start, imports": imports}
    for part in dict.fromkeys(part for part, _ in watch.spent):
        parts[part] = watch.of(part)
    parts["decode"] += threads.of("av:")
    for artifact in done.artifacts:
        if artifact.kind == "playlist":
            name = f"x264 {artifact.height}p"
            parts[name] = threads.of(name) - watch.spent["write MP4 and HLS", name]
    return parts | {"Python between them": total - sum(parts.values()), "all": total}


if __name__ == "__main__":
    print(json.dumps(_encode(Path(sys.argv[1]), *(sys.argv[2:] or ["pod"]))))
