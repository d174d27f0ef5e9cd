"""What Esup-Pod's answers mean: one table, from a running Pod 4.1.0.

Pod's import knows no transaction: a 500 may come after all is stored (its mail server was down), and a repetition of
what was stored is a 400. So a doubtful answer is no verdict; a look at the video is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from core.callbacks.delivery import Case, Verdict
from core.errors import BadSettings
from core.http.client import Answer, get
from core.pod.remedies import remedy_of

#: What Pod's API says of a video. waiting: its encoding is in progress. taken: our result is imported already. idle:
#: neither. gone: deleted. unseen: the API did not answer.
Look = Literal["waiting", "taken", "idle", "gone", "unseen"]

Fate = Literal["taken", "again", "mend", "refused"]

#: By status; a mapping is by what a look at the video finds.
ANSWERS: Mapping[int, Fate | Mapping[Look, Fate]] = {
    200: "taken",
    # Not being encoded: it was told before, or waits no more.
    400: {"waiting": "refused", "taken": "taken", "idle": "refused", "gone": "refused", "unseen": "again"},
    401: "mend",  # no such token
    403: "mend",  # the token's user is not staff
    # The video or the recording is deleted; or this is no Pod.
    404: {"waiting": "mend", "taken": "mend", "idle": "mend", "gone": "refused", "unseen": "mend"},
    405: "mend",  # something before Pod has turned our POST into a GET
    429: "again",
    # Before, in, or after the import.
    500: {"waiting": "again", "taken": "taken", "idle": "refused", "gone": "refused", "unseen": "again"},
}

#: Pod's steps after which our word is known to be stored; the first stays up while a transcription is under way.
STORED = ("end of encoding", "done")


class Api:
    """Esup-Pod's API, as a case may use it."""

    def __init__(self, case: Case) -> None:
        settings = case.settings
        if settings.pod_api_url is None or settings.pod_api_token is None:
            raise BadSettings(
                "Esup-Pod can't be told", remedy="set POD_API_URL and POD_API_TOKEN on hosts of `callbacks`"
            )
        self._case = case
        self._base = settings.pod_api_url.rstrip("/") + "/"
        self._headers = {"Authorization": f"Token {settings.pod_api_token.get_secret_value()}"}

    def post(self, body: Mapping[str, Any]) -> Answer:
        return self._case.post(self._base + self._case.delivery.callback.url, json.dumps(body).encode(), self._headers)

    def look(self, video: int) -> Look:
        """Ask Pod how a video stands."""
        answer = self._get(f"videos/{video}/")
        if answer.status == 404:
            return self.look_for_none()
        found = answer.json()
        if answer.status != 200 or not isinstance(found, dict):
            return "unseen"
        if any(step in str(found.get("get_encoding_step", "")) for step in STORED):
            return "taken"
        if found.get("encoding_in_progress"):
            return "waiting"
        return "taken" if found.get("encoded") else "idle"

    def look_for_none(self) -> Look:
        """Tell whether what gave a 404 is an Esup-Pod, which hence has no such thing."""
        root = self._get("")
        return "gone" if root.status == 200 and isinstance(root.json(), dict) else "unseen"

    def _get(self, path: str) -> Answer:
        return get(self._base + path, self._headers, self._case.settings)


def judge(answer: Answer, look: Look | None) -> Verdict:
    """Return what an answer means; `look` is for those that leave it open, None where there is nothing to look at."""
    if not answer.status or answer.status in range(501, 600):
        return Verdict("again", answer.words)
    if answer.status in range(300, 400):
        return Verdict("mend", f"{answer.words}: {remedy_of(answer)}")
    row = ANSWERS.get(answer.status, "mend")
    fate = row if isinstance(row, str) else row[look or _BLIND[answer.status]]
    remedy = remedy_of(answer) if fate == "mend" else None
    words = [answer.words, *([f"the video is {look}"] if look else []), *([remedy] if remedy else [])]
    return Verdict(fate, "; ".join(words))


#: What is assumed where there is no video to look at: a recording has no such page.
_BLIND: Mapping[int, Look] = {400: "idle", 404: "gone", 500: "waiting"}


def is_open(answer: Answer) -> bool:
    """Tell an answer that only a look at the video can settle."""
    return isinstance(ANSWERS.get(answer.status), Mapping)
