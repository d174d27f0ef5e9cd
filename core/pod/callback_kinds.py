"""The ways in which portals are told, by the kind of a job's callback."""

from __future__ import annotations

from collections.abc import Mapping

from core.callbacks import webhook
from core.callbacks.delivery import Contract
from core.plugin_host.manager import Manager
from core.pod import callbacks as pod

#: Core's own.
BUILT_IN: Mapping[str, Contract] = {
    "webhook": webhook.tell,
    "pod-encoded": pod.tell_encoded,
    "pod-studio": pod.tell_studio,
    "pod-transcribed": pod.tell_transcribed,
    "pod-runner": pod.tell_runner,
}


def contracts(manager: Manager) -> Mapping[str, Contract]:
    """Return all ways in which portals are told here; a plugin can't take over one of core's own."""
    return {**manager.callbacks(), **BUILT_IN}
