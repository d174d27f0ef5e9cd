"""What doctor finds on a host: ok, to be mended, or not here."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from core import doctor
from core.findings import are_well
from core.pipeline.planning import Host
from core.plugin_host.manager import Manager
from core.settings import Settings

from ..conftest import TOY_ENGINE, InstallPlugin

NO_MODEL = """
    from core import PluginUnavailable, hookimpl

    @hookimpl
    def transcribe(): ...

    @hookimpl
    def check_step():
        raise PluginUnavailable("no model", remedy="fetch it")

    @hookimpl
    def write_captions(): ...
"""

ABSENT = """
    from core import PluginUnavailable, hookimpl

    @hookimpl
    def configure():
        raise PluginUnavailable("pip install 'amphipod[transcript]'", step="transcribe")

    @hookimpl
    def transcribe(): ...
"""


def found(settings: Settings) -> dict[str, tuple[bool | None, str]]:
    host = Host(settings, Manager(settings))
    findings = tuple(doctor.examine(host))
    assert are_well(findings) == all(one.ok is not False for one in findings)
    return {one.subject: (one.ok, one.words) for one in findings}


@pytest.fixture
def only(install_plugin: InstallPlugin, settings: Settings) -> Settings:
    install_plugin("toy", TOY_ENGINE)
    install_plugin("silent", NO_MODEL)
    install_plugin("absent", ABSENT)
    return settings


def test_what_is_not_here_is_neither_ok_nor_to_be_mended(only: Settings) -> None:
    about = found(only.model_copy(update={"plugins_only": ("toy", "absent")}))

    assert about["plugin absent (amphipod-absent 1.0)"] == (None, "unavailable, pip install 'amphipod[transcript]'")
    assert about["step transcribe"][0] is None
    assert about["step encode"] == (True, "done by toy")


def test_a_step_that_can_t_run_is_to_be_mended(only: Settings) -> None:
    about = found(only.model_copy(update={"plugins_only": ("toy", "silent")}))

    assert about["step transcribe"] == (False, "no model: fetch it")


def test_an_engine_that_the_settings_name_must_be_there(only: Settings) -> None:
    wanted = {"plugins_only": ("toy",), "engines": {"transcribe": ("silent",)}}

    assert found(only.model_copy(update=wanted))["step transcribe"][0] is False


def test_a_host_that_does_nothing_is_not_well(only: Settings) -> None:
    assert found(only.model_copy(update={"plugins_only": ("absent",)}))["steps"][0] is False


def test_a_setting_s_slip_is_to_be_mended(only: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMPHIPOD_BROKER", "redis://localhost")

    words = "AMPHIPOD_BROKER is no setting: did you mean AMPHIPOD_BROKER_URL?"
    assert found(only)["environment"] == (False, words)


def test_webhooks_that_nobody_could_sign_are_told_beforehand(only: Settings) -> None:
    assert found(only)["AMPHIPOD_WEBHOOK_SECRET"] == (None, "not set: webhooks can't be signed, and wait until it is")
    with_secret = only.model_copy(update={"webhook_secret": SecretStr("hush")})
    assert "AMPHIPOD_WEBHOOK_SECRET" not in found(with_secret)


def test_a_checkout_without_the_player_s_controls_says_how_to_get_them(only: Settings) -> None:
    is_built = (Path(doctor.__file__).parent / "web" / "static" / "vendor" / "versions.json").exists()
    ok, words = found(only)["player's controls"]
    assert (ok, "make assets" in words) == ((True, False) if is_built else (None, True))
