"""Esup-Pod's Celery tasks as functions: each binds its arguments as Pod's worker did, and answers what is to be done.

Signatures: pod/video_encode_transcript/*_tasks.py and pod/xapi/xapi_tasks.py. Paths stay as Pod wrote them, because it
knows its files by the letters of MEDIA_ROOT; they are only checked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, validate_call

from core.errors import BadCall, UnsafePath
from core.model import Callback, Job, Source, Statement
from core.pod.callbacks import relative
from core.pod.mediapackage import LONGEST, ROLES, in_range, layout_of
from core.storage import files

#: As Django's databases count them.
Id = Annotated[int, Field(ge=0, lt=1 << 63)]

Seconds = Annotated[int, Field(ge=0, le=LONGEST)]

_checked = validate_call(config=ConfigDict(arbitrary_types_allowed=True))


@dataclass(frozen=True)
class Desk:
    """What a task needs to know beside its arguments."""

    #: Of the job that it becomes.
    job: str
    media_roots: Sequence[Path]

    def place(self, path: str) -> Path:
        """Return a path of Pod's; one relative to MEDIA_ROOT is made absolute.

        Raises:
            UnsafePath: it leads out of the media roots.
        """
        files.resolve(Path(path), self.media_roots)
        if Path(path).is_absolute():
            return Path(path)
        return next((root / path for root in self.media_roots if (root / path).exists()), self.media_roots[0] / path)

    def root_of(self, path: Path) -> Path:
        """Return the media root that a path of Pod's lies under by its letters."""
        for root in self.media_roots:
            if path.is_relative_to(root):
                return root
        raise UnsafePath(
            f"{path}: no media root is written like its beginning", remedy="set MEDIA_ROOT as Esup-Pod has it"
        )


class PodDressing(BaseModel):
    """Of Pod's `json_dressing` what shapes the film (dressing/models.py, to_json)."""

    watermark_path: str | None = None
    position_orig: Literal["top_left", "top_right", "bottom_left", "bottom_right"] | None = None
    opacity: int | None = None
    opening_credits_video: str | None = None
    ending_credits_video: str | None = None

    def options(self, desk: Desk) -> dict[str, Any]:
        """Return it as the encoder's option `dressing`."""
        logo: dict[str, Any] = {"path": str(desk.place(self.watermark_path))} if self.watermark_path else {}
        if logo:
            about = {"position": self.position_orig, "opacity": self.opacity}
            logo |= {name: value for name, value in about.items() if value is not None}
        films = {"opening": self.opening_credits_video, "ending": self.ending_credits_video}
        return ({"watermark": logo} if logo else {}) | {
            name: str(desk.place(film)) for name, film in films.items() if film
        }


class PodTake(BaseModel):
    """One recording of a studio."""

    type: str
    src: str


@_checked
def start_encoding_task(
    desk: Desk,
    video_id: Id,
    video_path: str,
    cut_start: Seconds = 0,
    cut_end: Seconds = 0,
    json_dressing: dict[str, Any] | None = None,
    dressing_input: str = "",
) -> Job:
    options: dict[str, Any] = {}
    if cut_start or cut_end:
        options |= {"cut_start": cut_start, "cut_end": cut_end}
    # `dressing_input` says the same for a shell.
    if json_dressing and (dressing := PodDressing.model_validate(json_dressing).options(desk)):
        options["dressing"] = dressing
    source = desk.place(video_path)
    told = {
        "video_id": video_id,
        "video_path": video_path,
        "cut_start": cut_start,
        "cut_end": cut_end,
        "json_dressing": json_dressing,
        "dressing_input": dressing_input,
    }
    return Job(
        id=desk.job,
        sources=(Source(path=source),),
        steps=("encode",),
        output=source.parent / f"{video_id:04}",
        replace=True,  # the folder is this video's by its name, whatever source it had before
        options=options,
        attributes={"video_id": video_id},
        callbacks=(Callback(kind="pod-encoded", url=relative("store_remote_encoded_video", id=video_id), body=told),),
    )


@_checked
def start_studio_task(
    desk: Desk, recording_id: Id, video_output: str, videos: list[PodTake], subtime: str, presenter: str
) -> Job:
    # Of each role the last, as Esup-Pod's own worker has it.
    takes = {ROLES[take.type]: desk.place(take.src) for take in videos if take.type in ROLES}
    if not takes:
        raise BadCall(f"none of the recording's {len(videos)} tracks is a take ({', '.join(ROLES)})")
    told = {"video_output": str(desk.place(video_output))}
    return Job(
        id=desk.job,
        sources=tuple(Source(path=path, role=role) for role, path in takes.items()),
        steps=("compose",),
        options={"layout": layout_of(presenter), **_clip(subtime)},
        attributes={"recording_id": recording_id},
        placed=(desk.place(video_output),),
        callbacks=(
            Callback(
                kind="pod-studio",
                url=relative("store_remote_encoded_video_studio", recording_id=recording_id),
                body=told,
            ),
        ),
    )


def _clip(subtime: str) -> dict[str, float]:
    """Read Pod's "-ss 1.0 -to 4.5 ", either half of which may be missing."""
    if not re.fullmatch(r"\s*(-ss [\d.]+)?\s*(-to [\d.]+)?\s*", subtime):
        raise BadCall(f"subtime {subtime!r} is not a clip that Esup-Pod would write")
    found = dict(re.findall(r"-(ss|to) ([\d.]+)", subtime))
    return {
        ours: in_range(float(found[theirs]))
        for theirs, ours in (("ss", "clip_start"), ("to", "clip_end"))
        if theirs in found
    }


@_checked
def start_transcripting_task(desk: Desk, video_id: Id, mp3filepath: str, duration: float, lang: str) -> Job:  # noqa: ARG001  # the sound says how long it is
    audio = desk.place(mp3filepath)
    captions = desk.root_of(audio) / "temp" / f"{desk.job}.vtt"
    told = {"video_id": video_id, "temp_vtt_file": str(captions)}
    return Job(
        id=desk.job,
        sources=(Source(path=audio),),
        steps=("transcribe",),
        language=lang or "auto",
        attributes={"video_id": video_id},
        placed=(captions,),
        callbacks=(
            Callback(kind="pod-transcribed", url=relative("store_remote_transcripted_video", id=video_id), body=told),
        ),
    )


@_checked
def send_xapi_statement_task(desk: Desk, statement: dict[str, Any]) -> Statement:  # noqa: ARG001  # as the others
    return statement


#: By the name that Pod's server sends.
TASKS: Mapping[str, Callable[..., Job | Statement]] = {
    "pod.video_encode_transcript.encoding_tasks.start_encoding_task": start_encoding_task,
    "pod.video_encode_transcript.encoding_tasks.start_studio_task": start_studio_task,
    "pod.video_encode_transcript.transcripting_tasks.start_transcripting_task": start_transcripting_task,
    "pod.xapi.xapi_tasks.send_xapi_statement_task": send_xapi_statement_task,
}
