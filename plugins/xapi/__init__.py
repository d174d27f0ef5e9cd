"""xAPI statements: checked with Ralph's models, anonymised, delivered to learning record stores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from core import DROP, Destination, Finding, Job, Manifest, PluginUnavailable, Receipt, Statement, hookimpl

if TYPE_CHECKING:
    import typer
    from pydantic import BaseModel

    from core.settings import Settings
    from plugins.xapi.lrs import Client
    from plugins.xapi.settings import RecordStore, XapiSettings


class Plugin:
    """What the settings say, for the hooks."""

    _settings: XapiSettings
    _stores: Mapping[str, RecordStore]
    _clients: Mapping[str, Client]

    @hookimpl
    def configure(self, settings: Settings) -> None:
        missing = [name for name in ("ralph", "requests") if find_spec(name) is None]
        if missing:
            raise PluginUnavailable(
                f"delivering statements needs {' and '.join(missing)}",
                remedy="pip install 'amphipod[xapi]'",
                step="emit",
            )
        from plugins.xapi import lrs, stores
        from plugins.xapi.settings import XapiSettings

        self._settings = own = settings.of_plugin("xapi", XapiSettings)
        self._stores = stores.of(own)
        self._clients = {name: lrs.Client(one, own.time_limit) for name, one in self._stores.items()}

    @hookimpl
    def register_settings(self) -> type[BaseModel]:
        from plugins.xapi.settings import XapiSettings

        return XapiSettings

    @hookimpl
    def options_schema(self, step: str) -> type[BaseModel] | None:
        from plugins.xapi.options import EmitOptions

        return EmitOptions if step == "emit" else None

    @hookimpl
    def build_statements(self, job: Job, manifest: Manifest) -> Sequence[Statement] | None:
        if not self._settings.pipeline_statements:
            return None
        from plugins.xapi import statements

        return [statements.published(job, manifest, self._settings.activity_url)]

    @hookimpl
    def check_statement(self, statement: Statement) -> str | None:
        if self._settings.validation == "off":
            return None
        from plugins.xapi import validation

        complaint = validation.complaint(statement)
        if complaint and self._settings.validation == "warn":
            validation.warn(statement, complaint)
            return None
        return complaint

    @hookimpl(trylast=True)
    def prepare_statement(self, statement: Statement, destination: Destination) -> Statement | None:
        from plugins.xapi import anonymize, stores

        store = self._stores.get(destination.name)
        if store is None:
            return None
        if not stores.wants(store, statement):
            return DROP
        return anonymize.anonymised(statement, stores.scheme(self._settings)) if store.anonymize else None

    @hookimpl
    def statement_destinations(self) -> Sequence[Destination]:
        return [Destination(name=name, url=store.url) for name, store in self._stores.items()]

    @hookimpl
    def emit_statement(self, statements: Sequence[Statement], destination: Destination) -> Sequence[Receipt] | None:
        client = self._clients.get(destination.name)
        return client.deliver(statements) if client else None

    @hookimpl
    def examine_host(self) -> Sequence[Finding]:
        from plugins.xapi import lrs

        return [lrs.examine(store, self._clients[name]) for name, store in self._stores.items()]

    @hookimpl
    def register_commands(self, cli: typer.Typer) -> None:
        from plugins.xapi.commands import pseudonyms

        cli.command()(pseudonyms)


plugin = Plugin()
