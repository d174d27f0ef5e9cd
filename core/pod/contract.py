"""How Esup-Pod is told: its three calls of store_remote_*, and the notification of its runner managers.

Bodies, files that must be in place first, and what may be repeated: as seen of Esup-Pod 4.1.0, and told in docs/pod.md.
None of the three has a word for a failure but the studio's; so a failed encode is told to nobody: any call would make
Pod mail its owner that the video has been encoded.
"""

from __future__ import annotations

import json
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from core import access, commit, manifest
from core.errors import BadSettings, NotWritable
from core.messenger import Case, Verdict
from core.model import State, StepResult
from core.pod.answers import Api, is_open, judge


def tell_encoded(case: Case) -> Verdict:
    """`POST store_remote_encoded_video/?id=`: the video's files lie in its folder."""
    if case.state is not State.SUCCEEDED:
        return _withheld(case)
    api, body = Api(case), case.delivery.callback.body
    if case.delivery.uncertain:
        look = api.look(body["video_id"])
        if look in ("taken", "gone", "idle"):
            return Verdict("taken" if look == "taken" else "refused", f"told before; the video is {look}")
        if look == "unseen":
            return Verdict("again", "told before; Esup-Pod does not say how the video stands")
    # Pod answers 200 to missing files too, and then the video is empty.
    if commit.put_back(case.folder, access=access.of(case.settings)) is State.SUPERSEDED:
        return Verdict("withheld", "a younger job has published into this folder")
    done = _result(case, "encode")
    answer = api.post({"start": _ctime(done.started_at), **body, "stop": _ctime(done.finished_at)})
    return judge(answer, api.look(body["video_id"]) if is_open(answer) else None)


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
    commit.place(case.folder, _made(case, "film", film), film, access.of(case.settings))
    return judge(api.post({**body, "msg": _made_by(case, "compose")}), None)


def tell_transcribed(case: Case) -> Verdict:
    """`POST store_remote_transcripted_video/?id=`: Pod reads the captions from MEDIA_ROOT/temp, and deletes them."""
    if case.state is not State.SUCCEEDED:
        return _withheld(case)
    api, body = Api(case), case.delivery.callback.body
    if case.delivery.uncertain and (look := api.look(body["video_id"])) in ("taken", "gone"):
        return Verdict("taken" if look == "taken" else "refused", f"told before; the video is {look}")
    captions = Path(body["temp_vtt_file"])  # named after the job, hence nobody else's
    commit.put(_made(case, "caption", captions), captions, access.of(case.settings))
    answer = api.post({**body, "msg": _made_by(case, "transcribe")})
    return judge(answer, api.look(body["video_id"]) if is_open(answer) else None)


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
    result = manifest.result(case.folder, step, case.run)
    assert result
    return result


def _ctime(moment: datetime) -> str:
    return time.ctime(moment.timestamp())


def relative(path: str, **query: Any) -> str:
    """Return a call's address below POD_API_URL, with the slash that Pod insists on."""
    return f"{path}/?{'&'.join(f'{name}={value}' for name, value in query.items())}"
