"""Whose is it? A person in a statement, however an agent is written, and whatever else is said of them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from core.errors import BadCall

_DIGEST = re.compile(r"[0-9a-f]{40}", re.IGNORECASE)


def agent_of(words: str) -> dict[str, Any]:
    """Read what a person types: a mailbox, its SHA-1, an OpenID, the name of an account, or an agent as JSON.

    Raises:
        BadCall
    """
    if words.startswith("{"):
        try:
            agent = json.loads(words)
        except ValueError as error:
            raise BadCall(f"{words[:80]} is not JSON ({error})") from error
        if not set(identities(agent)):
            raise BadCall(f"{words[:80]} names nobody", remedy='write {"account": {"homePage": "...", "name": "..."}}')
        return dict(agent)
    if "://" in words:
        return {"openid": words}
    if "@" in words:
        return {"mbox": words if words.startswith("mailto:") else f"mailto:{words}"}
    if _DIGEST.fullmatch(words):
        return {"mbox_sha1sum": words}
    if not words.strip():
        raise BadCall("nobody is named", remedy="name a mailbox, the name of an account, or an agent as JSON")
    return {"account": {"name": words}}


def identities(agent: Any) -> Iterator[str]:
    """Yield what identifies an agent; two that share one of these are one person."""
    if not isinstance(agent, Mapping):
        return
    if isinstance(mailbox := agent.get("mbox"), str):
        for text in {mailbox, mailbox.lower()}:
            yield f"mailbox {hashlib.sha1(text.encode()).hexdigest()}"  # noqa: S324  # nosec  # as xAPI defines it
    if isinstance(digest := agent.get("mbox_sha1sum"), str):
        yield f"mailbox {digest.lower()}"
    if isinstance(openid := agent.get("openid"), str):
        yield f"openid {openid.rstrip('/').lower()}"
    account = agent.get("account")
    if isinstance(account, Mapping) and isinstance(account.get("name"), str):
        home = account.get("homePage")
        yield (
            f"account {home.rstrip('/').lower()} {account['name']}"
            if isinstance(home, str)
            else f"account * {account['name']}"
        )


def speaks_of(value: Any, wanted: frozenset[str]) -> bool:
    """Tell whether somebody of these identities is anywhere in a statement; `account *` is that of any home page."""
    if isinstance(value, Mapping):
        own = set(identities(value))
        anywhere = {f"account * {one.split(' ', 2)[2]}" for one in own if one.startswith("account ")}
        return bool((own | anywhere) & wanted) or any(speaks_of(below, wanted) for below in value.values())
    return isinstance(value, list | tuple) and any(speaks_of(below, wanted) for below in value)
