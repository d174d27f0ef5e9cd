"""Who watches, as the portal says it: a signed word in the tracker's URL, which no browser can make or change."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

from core.errors import BadCall


def sign(key: str, actor: Mapping[str, Any], *, seconds: float = 12 * 3600) -> str:
    """Return the word for the visitor `actor`, an xAPI agent; the tracker's URL carries it as `?visitor=`.

    The page shows it to its visitor, so that the agent had better be an account and not a mailbox.
    """
    body = json.dumps({"actor": dict(actor), "until": round(time.time() + seconds)}, separators=(",", ":"))
    text = base64.urlsafe_b64encode(body.encode()).decode()
    return f"{text}.{_seal(key, text)}"


def read(key: str, word: str) -> dict[str, Any]:
    """Return the actor of a word.

    Raises:
        BadCall: it is not ours, or too old.
    """
    text, _, seal = word.rpartition(".")
    if not word.isascii() or not hmac.compare_digest(_seal(key, text), seal):
        raise BadCall("the visitor's word is not signed with our key")
    try:
        said = json.loads(base64.urlsafe_b64decode(text))
    except (ValueError, binascii.Error) as error:
        raise BadCall("the visitor's word can't be read") from error
    if said["until"] < time.time():
        raise BadCall("the visitor's word is too old", remedy="reload the page")
    actor: dict[str, Any] = said["actor"]
    return actor


def _seal(key: str, text: str) -> str:
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()
