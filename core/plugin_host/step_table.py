"""All kinds of steps that are known here: core's and the plugins', in the order in which a job does them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from core.errors import BadSettings
from core.model import StepSpec
from core.model.step_spec import in_order, is_allowed

#: Who stands for core among those who declare.
CORE = "amphipod"


@dataclass
class StepTable:
    """Filled once, when the plugins are loaded."""

    specs: Mapping[str, StepSpec] = field(default_factory=dict)
    #: By step, who declares it: each may be its engine.
    owners: dict[str, list[str]] = field(default_factory=dict)

    def add(self, plugin: str, declared: Sequence[StepSpec]) -> None:
        """Take what one plugin declares, all of it or nothing.

        Raises:
            BadSettings: it contradicts what is there, or waits for itself.
        """
        for spec in declared:
            known = self.specs.get(spec.name)
            if known and known != spec:
                owner = self.owners[spec.name][0]
                raise BadSettings(f"{owner} declares a step {spec.name} differently", remedy="name it otherwise")
            if plugin != CORE and not known and not is_allowed(spec):
                raise BadSettings(f"step {spec.name} can't be on {spec.queue}", remedy="name a queue of its own")
        try:
            ordered = in_order({**self.specs, **{spec.name: spec for spec in declared}}.values())
        except ValueError as error:
            raise BadSettings(str(error), remedy="mend what they need") from error
        self.specs = {spec.name: spec for spec in ordered}
        for spec in declared:
            self.owners.setdefault(spec.name, []).append(plugin)

    def queues(self) -> Mapping[str, bool]:
        """Return the queues of all steps, and whether what is on them is heavy."""
        found: dict[str, bool] = {}
        for spec in self.specs.values():
            found[spec.queue] = found.get(spec.queue, False) or spec.heavy
        return found

    def in_order(self, steps: Iterable[str]) -> tuple[str, ...]:
        """Return known steps in the order in which a job does them."""
        asked = set(steps)
        return tuple(name for name in self.specs if name in asked)
