"""Secrets that systemd, Docker and Kubernetes hand over as files, instead of in the environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
from pydantic import BaseModel, SecretStr

from core import doctor
from core.errors import BadSettings
from core.pipeline.planning import Host
from core.plugin_host.manager import Manager
from core.settings import ADDRESSES, Settings, load, unknown_variables
from core.settings.plugin_settings import variable
from plugins.xapi.settings import XapiSettings

#: Any user but root, who may read everything.
NOBODY = 65534


def keep(folder: Path, name: str, text: str | bytes = "s3cret\n", mode: int = 0o600) -> Path:
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    file.chmod(mode)
    return file


@pytest.fixture
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as systemd makes it for LoadCredential=."""
    folder = tmp_path / "credentials"
    folder.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    return folder


def secret_settings(model: type[BaseModel]) -> list[str]:
    return [name for name, about in model.model_fields.items() if "SecretStr" in str(about.annotation)]


@pytest.mark.parametrize("name", [*ADDRESSES, *secret_settings(Settings)])
def test_each_secret_can_be_in_a_file_and_in_a_credential(
    name: str, credentials: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def plain(settings: Settings) -> str:
        value = getattr(settings, name)
        return str(value.get_secret_value() if isinstance(value, SecretStr) else value)

    keep(credentials, f"amphipod_{name}", "redis://credential\n")
    assert plain(load()) == "redis://credential"
    monkeypatch.setenv(f"AMPHIPOD_{name.upper()}_FILE", str(keep(tmp_path, "file", "redis://file\n")))
    assert plain(load()) == "redis://file"


@pytest.mark.parametrize("name", [name for name in secret_settings(XapiSettings) if name != "anonymize_old_keys"])
def test_each_secret_of_a_plugin_too(
    name: str, credentials: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def plain() -> str:
        secret: SecretStr = getattr(load().of_plugin("xapi", XapiSettings), name)
        return secret.get_secret_value()

    keep(credentials, variable("xapi", name).lower(), "in the credential\r\n")
    assert plain() == "in the credential"
    monkeypatch.setenv(f"{variable('xapi', name)}_FILE", str(keep(tmp_path, "file", "12345\n")))
    assert plain() == "12345", "a text, though JSON has a number for it"


def test_earlier_keys_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMPHIPOD_XAPI_ANONYMIZE_OLD_KEYS_FILE", str(keep(tmp_path, "file", '{"2025": "hush"}\n')))
    found = load().of_plugin("xapi", XapiSettings).anonymize_old_keys
    assert found["2025"].get_secret_value() == "hush"


def test_a_list_of_stores_with_their_passwords_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stores = json.dumps([{"name": "a", "url": "http://a", "token": "hush"}])
    monkeypatch.setenv("AMPHIPOD_XAPI_STORES_FILE", str(keep(tmp_path, "stores", stores)))

    (store,) = load().of_plugin("xapi", XapiSettings).stores
    assert (store.name, store.token) == ("a", SecretStr("hush"))


def test_the_variable_wins_over_the_file_it_over_the_credential_and_that_over_the_toml_and_pod_s_name(
    credentials: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def in_force() -> tuple[str, str]:
        token, password = load().pod_api_token, load().of_plugin("xapi", XapiSettings).lrs_pwd
        assert token
        assert password
        return token.get_secret_value(), password.get_secret_value()

    monkeypatch.setenv("POD_API_TOKEN", "pod")
    monkeypatch.setenv("XAPI_LRS_PWD", "pod")
    assert in_force() == ("pod", "pod")
    Path("amphipod.toml").write_text('pod_api_token = "toml"\n[plugin.xapi]\nlrs_pwd = "toml"')
    assert in_force() == ("toml", "toml")
    for name in ("amphipod_pod_api_token", "amphipod_xapi_lrs_pwd"):
        keep(credentials, name, "credential")
    assert in_force() == ("credential", "credential")
    for name in ("AMPHIPOD_POD_API_TOKEN", "AMPHIPOD_XAPI_LRS_PWD"):
        monkeypatch.setenv(f"{name}_FILE", str(keep(tmp_path, "file", "file")))
    assert in_force() == ("file", "file")
    for name in ("AMPHIPOD_POD_API_TOKEN", "AMPHIPOD_XAPI_LRS_PWD"):
        monkeypatch.setenv(name, "variable")
    assert in_force() == ("variable", "variable")


@pytest.mark.parametrize("name", ["AMPHIPOD_WEBHOOK_SECRET_FILE", "AMPHIPOD_XAPI_LRS_PWD_FILE"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "can't be read (No such file or directory)"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xff\xfe", "is not the text of a secret"),
        (b"a\0b", "is not the text of a secret"),
        (b"x" * (1 << 20 | 1), "is not the text of a secret"),
    ],
)
def test_what_holds_no_secret_is_told_in_one_line(
    name: str, content: bytes | None, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    if content is not None:
        keep(tmp_path, "file", content)
    monkeypatch.setenv(name, str(file))

    with pytest.raises(BadSettings) as caught:
        load().of_plugin("xapi", XapiSettings)
    assert str(caught.value).startswith(f"{name}: {file} {words}: ")


def test_a_pipe_that_nobody_writes_to_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "fifo")
    monkeypatch.setenv("AMPHIPOD_WEBHOOK_SECRET_FILE", str(tmp_path / "fifo"))

    with pytest.raises(BadSettings, match="is not a file"):
        load()


@pytest.mark.skipif(os.geteuid() != 0, reason="to become somebody else takes root")
def test_one_that_this_user_may_not_read_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = keep(tmp_path, "file")
    monkeypatch.setenv("AMPHIPOD_WEBHOOK_SECRET_FILE", str(file))
    os.seteuid(NOBODY)
    try:
        with pytest.raises(
            BadSettings, match=r"AMPHIPOD_WEBHOOK_SECRET_FILE: .*file can't be read \(Permission denied"
        ):
            load()
    finally:
        os.seteuid(0)


def test_what_a_file_holds_is_in_no_message_not_even_when_it_is_wrong(
    credentials: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMPHIPOD_THREADS_FILE", str(keep(tmp_path, "file", "hush-hush")))
    keep(credentials, "amphipod_broker_url", "redis://:hu/sh@host:6379")
    monkeypatch.setenv("AMPHIPOD_XAPI_STORES_FILE", str(keep(tmp_path, "stores", '[{"token": "hush-hush"}]')))

    for read in (load, lambda: Settings().of_plugin("xapi", XapiSettings)):
        with pytest.raises(BadSettings) as caught:
            read()
        assert "hush" not in "".join(traceback.format_exception(caught.value))
    assert "AMPHIPOD_XAPI_STORES_FILE.0.name is missing" in str(caught.value)


def test_the_command_says_so_and_ends_with_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMPHIPOD_BROKER_URL_FILE", str(tmp_path / "absent"))

    done = subprocess.run([sys.executable, "-m", "core.cli", "jobs"], capture_output=True, text=True)

    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "AMPHIPOD_BROKER_URL_FILE" in done.stderr


def test_a_slip_in_a_name_is_told(credentials: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMPHIPOD_BROKER_URI_FILE", "/run/secrets/broker")
    for name in ("amphipod_broker_uri", "amphipod_broker_url", "amphipod_xapi_lrs_pwd", "someone_else_s"):
        keep(credentials, name)

    assert unknown_variables({"xapi": ["AMPHIPOD_XAPI_LRS_PWD"]}) == [
        (
            "AMPHIPOD_BROKER_URL_FILE",
            "AMPHIPOD_BROKER_URI_FILE is no setting: did you mean AMPHIPOD_BROKER_URL_FILE?",
        ),
        ("AMPHIPOD_BROKER_URL", "credential amphipod_broker_uri is no setting: did you mean amphipod_broker_url?"),
    ]


class TestDoctor:
    @pytest.fixture
    def found(self, settings: Settings) -> dict[str, tuple[bool | None, str]]:
        host = Host(settings, Manager(settings))
        return {one.subject: (one.ok, one.words) for one in doctor.examine(host)}

    @pytest.fixture
    def open_files(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, mode in (("WEBHOOK_SECRET", 0o644), ("RUNNER_TOKEN", 0o640), ("XAPI_LRS_PWD", 0o604)):
            monkeypatch.setenv(f"AMPHIPOD_{name}_FILE", str(keep(tmp_path, name, mode=mode)))

    def test_warns_of_files_that_everybody_may_read(
        self, open_files: None, found: dict[str, tuple[bool | None, str]], tmp_path: Path
    ) -> None:
        file = tmp_path / "WEBHOOK_SECRET"
        words = f"{file} may be read by every user of this host: chmod o= {file}"
        assert found["AMPHIPOD_WEBHOOK_SECRET_FILE"] == (None, words)
        assert "AMPHIPOD_XAPI_LRS_PWD_FILE" in found
        assert "AMPHIPOD_RUNNER_TOKEN_FILE" not in found

    @pytest.mark.parametrize(("mode", "warned"), [(0o644, True), (0o640, False)])
    def test_warns_of_a_toml_with_secrets_that_everybody_may_read(self, mode: int, warned: bool) -> None:
        keep(Path(), "amphipod.toml", '[plugin.xapi]\nlrs_pwd = "hush"', mode)
        host = Host(load(), Manager(load()))

        assert ("settings file amphipod.toml" in {one.subject for one in doctor.examine(host)}) == warned
