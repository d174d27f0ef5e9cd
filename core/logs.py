"""structlog for us and for every library that logs through the standard library: one format, on standard error.

Lines about a job also go into its story (core/storage/story.py). No line holds a secret of the settings.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Container, Iterable, Sequence
from typing import TYPE_CHECKING

import structlog
from pydantic import BaseModel

from core.settings import Settings, redaction
from core.storage import story

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger


def configure(settings: Settings, *, told: Container[str] = (), own: Iterable[BaseModel] = ()) -> None:
    """Send every log line of this process to standard error, as `settings.log_format` says.

    :param told: events that the command tells in its own words: they go into the job's story alone.
    :param own: plugins' settings, whose secrets stay out of the lines too; known once the plugins are loaded.
    """

    def leave_out(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        if event["event"] in told:
            raise structlog.DropEvent
        return event

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        # As text in all forms: a structured trace holds the local variables, passwords too.
        structlog.processors.format_exc_info,
        hide_secrets((settings, *own)),
        # Before lines are left out by their level: a job's story is the same whatever the terminal shows.
        story.keep(settings.jobs_root),
    ]
    renderers: list[Processor] = (
        [structlog.processors.JSONRenderer(default=str, ensure_ascii=False)]
        if settings.log_format == "json"
        else [
            written_out,
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback, sort_keys=False
            ),
        ]
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    structlog.configure(
        processors=[
            *shared,
            leave_out,
            structlog.stdlib.filter_by_level,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def written_out(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    r"""Write out, as `\x1b`, what a terminal would obey in an event and in traces; the renderer quotes values."""
    event["event"] = _fit(str(event["event"]))
    for name in ("exception", "stack"):
        if isinstance(event.get(name), str):
            event[name] = "\n".join(map(_fit, event[name].split("\n")))
    return event


def _fit(line: str) -> str:
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in line)


def hide_secrets(settings: Sequence[BaseModel]) -> Processor:
    """Return a processor that takes the settings' secrets, and passwords in addresses, out of a line."""
    clean = redaction.hider(settings)

    def processor(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        for name, value in event.items():
            if not name.startswith("_"):
                event[name] = clean(value)
        return event

    return processor
