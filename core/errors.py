"""The error family. A person sees `str(error)`, one line; a log sees the trace.

    AmphipodError
    ├── Permanent              trying again cannot help
    │   ├── BadCall            the caller asked for something impossible (exit code 2)
    │   │   ├── BadSettings
    │   │   ├── UnsafePath     (also a ValueError)
    │   │   ├── UnknownJob     (also a KeyError)
    │   │   ├── JobConflict
    │   │   ├── WouldReplace
    │   │   ├── EngineMissing
    │   │   ├── AmbiguousEngine
    │   │   └── OptionConflict
    │   ├── BadSource          the media can't be used (also a ValueError)
    │   ├── LimitExceeded      a step ran past its time or its attempts
    │   └── HookFailed         a plugin raised something that is not of this family
    ├── Transient              the same call may succeed later
    │   ├── StepCrashed        the child process died
    │   ├── NoSpace            the file system is full (also an OSError)
    │   ├── NotWritable        (also an OSError)
    │   ├── HostUnfit          this host can't do the job now, another may
    │   └── OutOfReach         a service does not answer (exit code 3)
    └── PluginUnavailable      raised by a plugin's `configure`: it can't work here, and why

`Cancelled` stands outside, as a BaseException: an `except Exception` in a plugin must not eat a cancel.
"""

from __future__ import annotations

from typing import Any, ClassVar

from core.printable import printable


class AmphipodError(Exception):
    """Root of the family.

    `message` says what is wrong, `remedy` what the reader can do about it. The fields (job, step, plugin, path)
    are for logs and for programs.
    """

    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        message: str,
        *,
        remedy: str = "",
        job: str | None = None,
        step: str | None = None,
        plugin: str | None = None,
        path: str | None = None,
    ) -> None:
        self.message = printable(message)
        self.remedy = printable(remedy)
        super().__init__(self.message)
        self.job = job
        self.step = step
        self.plugin = plugin
        self.path = path

    def __str__(self) -> str:
        line = f"{self.message}: {self.remedy}" if self.remedy else self.message
        return " ".join(line.split())

    def to_dict(self) -> dict[str, Any]:
        """What crosses the pipe from a child process; `from_dict` is its inverse."""
        return {
            "type": type(self).__name__,
            "bases": [base.__name__ for base in type(self).__mro__[1:]],
            "message": self.message,
        } | {field: value for field in ("remedy", "job", "step", "plugin", "path") if (value := getattr(self, field))}


class Permanent(AmphipodError):
    """Trying again cannot help."""


class Transient(AmphipodError):
    """The same call may succeed later."""


class BadCall(Permanent):
    """The caller asked for something impossible."""

    exit_code = 2


class BadSettings(BadCall):
    """One or more settings are wrong; the message names them all."""


class UnsafePath(BadCall, ValueError):
    """A path leaves the roots it must lie under."""


class UnknownJob(BadCall, KeyError):
    """No job has this id."""

    __str__ = AmphipodError.__str__


class JobConflict(BadCall):
    """The request contradicts what the job already is."""


class WouldReplace(BadCall):
    """A publish would touch a file that the job reads, or one that is not its own."""


class EngineMissing(BadCall):
    """No installed plugin does this step."""


class AmbiguousEngine(BadCall):
    """Several plugins do this step and nothing says which one is meant."""


class OptionConflict(BadCall):
    """Two plugins set one option differently."""


class BadSource(Permanent, ValueError):
    """The media can't be used."""


class LimitExceeded(Permanent):
    """A step ran past its time or its attempts."""


class HookFailed(Permanent):
    """A plugin raised something that is not of this family, which `__cause__` holds, or answered what it may not."""

    #: From the plugin's own first frame on, for an author of plugins.
    trace: str = ""


class StepCrashed(Transient):
    """The process that ran the step died."""


class NoSpace(Transient, OSError):
    """The file system is full."""

    __str__ = AmphipodError.__str__


class NotWritable(Transient, OSError):
    """A folder refuses our files."""

    __str__ = AmphipodError.__str__


class OutOfReach(Transient):
    """A service does not answer."""

    exit_code = 3


class HostUnfit(Transient):
    """Not this host, but another one could do it."""


class PluginUnavailable(AmphipodError):
    """A plugin can't work on this host; its message says what to install."""


class Cancelled(BaseException):
    """The job was cancelled while a step ran."""


def from_dict(data: dict[str, Any]) -> AmphipodError:
    """Rebuild an error that crossed a pipe; one of a plugin's own class comes back as the nearest one that we know."""
    family = {
        name: kind for name, kind in globals().items() if isinstance(kind, type) and issubclass(kind, AmphipodError)
    }
    kind = next((family[name] for name in (data["type"], *data["bases"]) if name in family), AmphipodError)
    fields = {key: data[key] for key in ("remedy", "job", "step", "plugin", "path") if key in data}
    return kind(data["message"], **fields)
