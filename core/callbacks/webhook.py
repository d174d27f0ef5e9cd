"""A portal of any make is told by a signed POST: succeeded, failed and why, or cancelled.

The receiver recomputes `signature` over the timestamp and the body as they came, compares in constant time, and refuses
an old timestamp; the same `Amphipod-Delivery` twice is the same news (docs/service.md).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time

from core.callbacks.delivery import Case, Verdict
from core.errors import BadSettings


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Return what `Amphipod-Signature` must say."""
    digest = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256)
    return f"sha256={digest.hexdigest()}"


def tell(case: Case) -> Verdict:
    """Tell how the job ended; any answer of 200 to 299 takes it, 410 says that nobody wants to know."""
    secret = case.settings.webhook_secret
    if secret is None:
        raise BadSettings("a webhook can't be signed", remedy="set AMPHIPOD_WEBHOOK_SECRET on hosts of `callbacks`")
    job, timestamp = case.manifest.job, str(int(time.time()))
    news = {
        "job": job.id,
        "run": case.run,
        "state": case.state,
        "reason": case.reason,
        "attributes": job.attributes,
        "published_in": str(case.manifest.published_in) if case.manifest.published_in else None,
        "artifacts": [artifact.model_dump(exclude_none=True) for artifact in case.manifest.artifacts],
        "body": case.delivery.callback.body,
    }
    body = json.dumps(news).encode()
    answer = case.post(
        case.delivery.callback.url,
        body,
        {
            "Amphipod-Delivery": f"{job.id}.{case.delivery.id}",
            "Amphipod-Timestamp": timestamp,
            "Amphipod-Signature": signature(secret.get_secret_value(), timestamp, body),
        },
    )
    if 200 <= answer.status < 300:
        return Verdict("taken", answer.words)
    if answer.status == 410:
        return Verdict("refused", answer.words)
    return Verdict("mend" if 300 <= answer.status < 500 and answer.status != 429 else "again", answer.words)
