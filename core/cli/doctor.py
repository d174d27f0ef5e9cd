"""`amphipod doctor`: is this host fit for work, and if not, what to do."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from core import doctor as core_doctor
from core.cli.terminal.options import Call, JsonOption
from core.findings import are_well
from core.redis import connection
from core.settings import redaction

if TYPE_CHECKING:
    from core.pipeline.planning import Host

_MARKS = {
    True: typer.style("ok  ", fg="green"),
    False: typer.style("FAIL", fg="red"),
    None: typer.style("-   ", dim=True),
}


def doctor(context: typer.Context, as_json: JsonOption = False) -> None:
    """Check this host: settings, folders, plugins, engines. Exit code 1 when something must be mended.

    A dash marks what is not here, and need not be.
    """
    state: Call = context.obj
    host = state.host(log_level="error")
    findings = list(core_doctor.examine(host, state.config))
    if as_json:
        report = {
            "settings": _shown(host),
            "findings": [asdict(finding) for finding in findings],
        }
        typer.echo(json.dumps(report, indent=2))
    else:
        for finding in findings:
            typer.echo(f"{_MARKS[finding.ok]} {finding.subject}: {finding.words}")
    if not are_well(findings):
        raise typer.Exit(1)


def _shown(host: Host) -> dict[str, Any]:
    """Return the settings in force without their secrets; which of an unknown plugin's are secret, nobody can tell."""
    shown = host.settings.model_dump(mode="json")
    for broker in ("broker_url", "pod_broker_url", "pod_xapi_broker_url"):
        shown[broker] = connection.without_password(shown[broker])
    known = host.manager.own_settings
    shown["plugin"] = {name: dict.fromkeys(table, redaction.HIDDEN) for name, table in shown["plugin"].items()}
    shown["plugin"] |= {name: own.model_dump(mode="json") for name, own in known.items() if name in shown["plugin"]}
    clean = redaction.hider((host.settings, *known.values()))
    return {name: clean(value) for name, value in shown.items()}
