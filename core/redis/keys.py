"""How the keys in Redis begin. Needs no client, as those who only name them don't."""

from __future__ import annotations

#: First part of every key in Redis, Dramatiq's and ours.
NAMESPACE = "amphipod"
