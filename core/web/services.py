"""What the routes work with."""

from __future__ import annotations

from dataclasses import dataclass

from core.manager import Manager
from core.pipeline import Host
from core.settings import Settings
from core.tokens import TokenFile


@dataclass(frozen=True)
class Services:
    """One for each application."""

    settings: Settings
    manager: Manager
    tokens: TokenFile

    @property
    def host(self) -> Host:
        return Host(self.settings, self.manager)

    @property
    def has_broker(self) -> bool:
        """Whether workers do the jobs; else this process does."""
        return self.settings.broker_url is not None

    def close(self) -> None:
        """End what would keep the server from ending; called in a signal's handler."""
