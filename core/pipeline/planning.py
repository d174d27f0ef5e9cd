"""Who does a step, and with which options: checked before any work, then fixed for all hosts."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass

from core.errors import (
    BadSettings,
    EngineMissing,
    Transient,
)
from core.model import Job, Plan, Step
from core.plugin_host.manager import Manager
from core.settings import Settings
from core.storage import conflicts, files
from core.storage.job_folder import JobFolder


@dataclass(frozen=True)
class Host:
    """What this process works with."""

    settings: Settings
    manager: Manager


def check(host: Host, job: Job, *, elsewhere: bool = False) -> None:
    """Refuse now what could only fail later: an unknown option, a missing or ambiguous engine.

    `elsewhere` says that other hosts will do the job: what is not installed here is left to them.

    Raises:
        BadCall
        WouldReplace: its files would take the place of others that are not its own.
    """

    def is_known(step: Step) -> bool:
        present = host.manager.engines(step)
        return bool(present) and job.engines.get(step, present[0]) in present

    known = [step for step in job.steps if not elsewhere or is_known(step)]
    if len(known) == len(job.steps):
        host.manager.check_options(job)
    if not elsewhere and (problem := host.manager.unknown_options()):
        raise BadSettings(f"AMPHIPOD_OPTIONS: {problem}")
    plans = {step: host.manager.plan(job, step) for step in known}
    for step, plan in plans.items():
        with suppress(EngineMissing) if elsewhere else nullcontext():
            host.manager.check_step(job, step, plan)
    if not JobFolder(host.settings.jobs_root, job.id).request.exists():  # else it is the same request once more
        foresee(host, job, plans)


def foresee(host: Host, job: Job, plans: Mapping[Step, Plan]) -> None:
    """Refuse a job whose publish can be foretold to be refused."""
    names: conflicts.Names = {step: host.manager.file_names(job, step, plan) for step, plan in plans.items()}
    conflicts.foresee(host.settings.jobs_root, job, names, [plan.options for plan in plans.values()])


def fix_plan(host: Host, folder: JobFolder, step: Step) -> Plan:
    """Return the step's plan, made by the first host that gets here.

    Raises:
        Transient: this host has another version of an engine than the plan's.
    """
    path = folder.plan(step)
    if not path.exists():
        plan = host.manager.plan(folder.job(), step)
        with suppress(FileExistsError):
            files.write_once(path, plan.to_json())
    plan = Plan.model_validate_json(path.read_bytes())
    for engine in plan.engines:
        here = next((info for info in host.manager.infos if info.name == engine.plugin), None)
        if here is None or (here.distribution, here.version) != (engine.distribution, engine.version):
            found = f"{here.distribution} {here.version}" if here else "no such plugin"
            raise Transient(
                f"{step} was planned with {engine.distribution} {engine.version}, this host has {found}",
                remedy="give all hosts the same version",
                job=folder.id,
                step=step,
            )
    return plan
