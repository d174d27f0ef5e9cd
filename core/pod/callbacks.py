"""How Esup-Pod is told: its three calls of store_remote_*, and the notification of its runner managers.

Bodies, files that must be in place first, and what may be repeated: as seen of Esup-Pod 4.1.0, and told in docs/pod.md.
None of the three has a word for a failure but the studio's; so a failed encode is told to nobody: any call would make
Pod mail its owner that the video has been encoded.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from core.callbacks.delivery import Case, Verdict
from core.errors import BadSettings, NotWritable
from core.model import State, StepResult
from core.pod import withdrawal
from core.pod.api import Api, Look, is_open, judge
from core.storage import beneath, job_state, permissions, publish


def tell_encoded(case: Case) -> Verdict:
    """`POST store_remote_encoded_video/?id=`: the video's files lie in its folder."""
    if case.state is not State.SUCCEEDED:
        return _withheld(case)
    api, body = Api(case), case.delivery.callback.body
    if case.delivery.uncertain:
        seen = api.look(body["video_id"])
        if seen in ("taken", "gone", "idle"):
            found = Verdict("taken" if seen == "taken" else "refused", f"told before; the video is {seen}")
            return _without_files(case, found, seen)
        if seen == "unseen":
            return Verdict("again", "told before; Esup-Pod does not say how the video stands")
    # Pod answers 200 to missing files too, and then the video is empty.
    roots, access = case.settings.media_roots, permissions.of(case.settings)
    if publish.put_back(case.folder, access=access, roots=roots) is State.SUPERSEDED:
        return Verdict("withheld", "a younger job has published into this folder")
    done = _result(case, "encode")
    answer = api.post({"start": _ctime(done.started_at), **body, "stop": _ctime(done.finished_at)})
    look = api.look(body["video_id"]) if is_open(answer) else None
    return _without_files(case, judge(answer, look), look)


def tell_studio(case: Case) -> Verdict:
    """`POST store_remote_encoded_video_studio/?recording_id=`: Pod moves the film into its store.

    This call can say that it failed: of a film that isn't there Pod writes a mail, and our words beside the recording.
    """
    if case.state not in (State.SUCCEEDED, State.FAILED):
        return _withheld(case)
    body, film = dict(case.delivery.callback.body), Path(case.delivery.callback.body["video_output"])
    api = Api(case)
    if case.state is State.FAILED:
        if film.exists():  # somebody else's, and no news of ours
            body["video_output"] = str(film.with_stem(f"{film.stem}.failed"))
        return judge(api.post({**body, "msg": f"Amphipod, job {case.folder.id}: {case.reason}"}), None)
    if case.delivery.uncertain and not film.exists():
        return Verdict("taken", "told before; Esup-Pod has moved the film")
    roots = case.settings.media_roots
    publish.place(case.folder, _made(case, "film", film), film, permissions.of(case.settings), roots)
    answer = api.post({**body, "msg": _made_by(case, "compose")})
    look = api.look_for_none() if answer.status == 404 else None
    verdict = judge(answer, look)
    return _noting(verdict, withdrawal.withdraw(case.folder, film, roots), film.parent) if look == "gone" else verdict


def tell_transcribed(case: Case) -> Verdict:
    """`POST store_remote_transcripted_video/?id=`: Pod reads the captions from MEDIA_ROOT/temp, and deletes them."""
    if case.state is not State.SUCCEEDED:
        return _withheld(case)
    api, body = Api(case), case.delivery.callback.body
    look: Look | None
    captions = Path(body["temp_vtt_file"])  # named after the job, hence nobody else's
    if case.delivery.uncertain and (look := api.look(body["video_id"])) in ("taken", "gone"):
        verdict = Verdict("taken" if look == "taken" else "refused", f"told before; the video is {look}")
        return _without_captions(case, captions, verdict, look)
    access, roots = permissions.of(case.settings), case.settings.media_roots
    publish.put(_made(case, "caption", captions), captions, access, roots=roots)
    answer = api.post({**body, "msg": _made_by(case, "transcribe")})
    look = api.look(body["video_id"]) if is_open(answer) else None
    return _without_captions(case, captions, judge(answer, look), look)


def tell_runner(case: Case) -> Verdict:
    """Tell a Pod of the runner managers' generation that its task is over; it then fetches the files.

    Any 2xx takes it. So does silence: Pod imports while we wait, and asks by itself for a task of two hours.
    """
    if case.settings.runner_token is None:
        raise BadSettings("Esup-Pod can't be notified", remedy="set AMPHIPOD_RUNNER_TOKEN on hosts of `callbacks`")
    words = case.reason or ("cancelled" if case.state is State.CANCELLED else "")
    body = {
        "task_id": case.folder.id,
        "status": "completed" if case.state is State.SUCCEEDED else "failed",
        "script_output": _notes(case),
        "error_message": words,
    }
    token = f"Bearer {case.settings.runner_token.get_secret_value()}"
    answer = case.post(case.delivery.callback.url, json.dumps(body).encode(), {"Authorization": token})
    if 200 <= answer.status < 300 or (not answer.status and answer.unclear):
        return Verdict("taken", answer.words)
    return judge(answer, None)


def _withheld(case: Case) -> Verdict:
    return Verdict("withheld", f"{case.state}: Esup-Pod has no call for it, and any other would tell of a success")


def _without_files(case: Case, verdict: Verdict, look: Look | None) -> Verdict:
    """Remove what the job has published for a video that was deleted meanwhile; nobody else ever would.

    Esup-Pod deletes the source with the video. Where it is still there, it may be another Pod that answers.
    """
    job = case.folder.job()
    if look != "gone" or job.output is None:
        return verdict
    if any(source.path.exists() for source in job.sources):
        words = f"its source is still there, so the files in {job.output} are kept"
        return Verdict(verdict.fate, f"{verdict.words}; {words}")
    return _noting(verdict, withdrawal.withdraw(case.folder, job.output, case.settings.media_roots), job.output)


def _without_captions(case: Case, captions: Path, verdict: Verdict, look: Look | None) -> Verdict:
    if look != "gone" or not captions.exists():
        return verdict
    with suppress(FileNotFoundError), beneath.folder(captions.parent, case.settings.media_roots) as place:
        os.unlink(captions.name, dir_fd=place)
    return _noting(verdict, [captions.name], captions.parent)


def _noting(verdict: Verdict, removed: Sequence[str], folder: Path) -> Verdict:
    return Verdict(verdict.fate, f"{verdict.words}; {len(removed)} files of this job removed from {folder}")


def _made(case: Case, kind: str, target: Path) -> Path:
    """Return the file that Pod looks for at `target`."""
    made = [
        case.folder.path / step.folder / artifact.path
        for step in case.manifest.steps.values()
        for artifact in step.artifacts
        if artifact.kind == kind and step.folder and Path(artifact.path).suffix == target.suffix
    ]
    if not made:
        raise NotWritable(f"{target}: the job made no {target.suffix}", remedy="see its manifest", path=str(target))
    return made[0]


def _made_by(case: Case, step: str) -> str:
    """Return a line for Pod's log of the video."""
    return f"Amphipod, job {case.folder.id}: {step} on {_result(case, step).host}. {_notes(case)}".rstrip()


def _notes(case: Case) -> str:
    return " ".join(note for step in case.manifest.steps.values() for note in step.notes)


def _result(case: Case, step: str) -> StepResult:
    result = job_state.result(case.folder, step, case.run)
    assert result
    return result


def _ctime(moment: datetime) -> str:
    return time.ctime(moment.timestamp())


def relative(path: str, **query: Any) -> str:
    """Return a call's address below POD_API_URL, with the slash that Pod insists on."""
    return f"{path}/?{'&'.join(f'{name}={value}' for name, value in query.items())}"
