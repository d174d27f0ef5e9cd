"""What people read holds no secret: log lines, doctor's findings, traces of programs that embed core."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
import structlog
from pydantic import BaseModel, SecretStr

from core import logs
from core.settings import Settings, redaction

from ...conftest import InstallPlugin


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("GET https://anna:geheim@lms/x", "GET https://anna:[hidden]@lms/x"),
        ("redis://:geheim@redis/0 and redis://a:b@c", "redis://:[hidden]@redis/0 and redis://a:[hidden]@c"),
        ("unix:///run/redis.sock?db=1&password=geheim", "unix:///run/redis.sock?db=1&password=[hidden]"),
        ("https://store/a.mp4?X-Amz-Signature=abc&x=1", "https://store/a.mp4?X-Amz-Signature=[hidden]&x=1"),
        ("https://store/a.mp4?access_token=abc#t=1", "https://store/a.mp4?access_token=[hidden]#t=1"),
        ("https://pod.univ.fr/rest/?page=2&monkey=3", "https://pod.univ.fr/rest/?page=2&monkey=3"),
        ("C:// is no address: neither is a@b", "C:// is no address: neither is a@b"),
    ],
)
def test_passwords_of_addresses_are_hidden(text: str, expected: str) -> None:
    assert redaction.without_passwords({"a": [text]}) == {"a": [expected]}


class Own(BaseModel):
    token: SecretStr = SecretStr("pa/ss wörd")
    table: dict[str, str] = {"store": "https://u:in-a-table@lrs"}
    sock: str = "unix:///run/redis.sock?password=in-a-query"


@pytest.mark.parametrize("text", ["pa/ss wörd", "pa%2Fss%20w%C3%B6rd", "pa/ss%20w%C3%B6rd", "in-a-table", "in-a-query"])
def test_a_secret_of_the_settings_is_hidden_wherever_and_however_it_is_written(text: str) -> None:
    assert redaction.hider([Own()])((f"got {text}!", ValueError(text), Path(text))) == [
        "got [hidden]!",
        "[hidden]",
        "[hidden]",
    ]


def test_what_is_no_text_stays_what_it_is() -> None:
    values = [1, 2.5, None, True, Path("a/b")]
    assert redaction.hider([Own()])(values) == values


def test_an_error_that_is_logged_as_it_is_shows_no_secret(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    handlers = logging.root.handlers[:]
    try:
        logs.configure(settings.model_copy(update={"log_format": "json", "pod_api_token": SecretStr("hush-hush")}))
        structlog.get_logger().error("a fault", reason=ValueError("hush-hush"))
    finally:
        logging.root.handlers[:] = handlers
        structlog.reset_defaults()
    assert json.loads(capsys.readouterr().err)["reason"] == "[hidden]"


def test_settings_print_no_password() -> None:
    settings = Settings(
        broker_url="redis://:hush-hush@redis/0",
        pod_api_url="https://u:hush-hush@pod/rest/",
        webhook_secret="hush-hush",
        plugin={"toy": {"token": "hush-hush"}},
    )
    console = io.StringIO()
    from rich.console import Console

    Console(file=console, width=200).print({"settings": settings})
    assert "hush" not in repr(settings) + str(settings) + console.getvalue()
    assert "redis/0" in repr(settings)


def test_errors_of_core_keep_their_trace_but_no_variables() -> None:
    @redaction.discreet
    def connect() -> None:
        password = "geheim"
        try:
            raise KeyError(len(password))
        except KeyError as error:
            raise ValueError("refused") from error

    with pytest.raises(ValueError, match="refused") as caught:
        connect()
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert "geheim" not in str([frame.locals for one in (shown, shown.__cause__) if one for frame in one.stack])
    assert shown.stack[-1].name == "connect"


class TestDoctor:
    """`amphipod doctor`, by the command: its lines and its JSON."""

    @pytest.fixture
    def said(self, monkeypatch: pytest.MonkeyPatch, install_plugin: InstallPlugin, tmp_path: Path) -> str:
        install_plugin(
            "toy",
            """
            from core import hookimpl
            from pydantic import BaseModel, SecretStr

            class Own(BaseModel):
                address: str = ""
                token: SecretStr | None = None

            @hookimpl
            def register_settings():
                return Own
            """,
        )
        Path("amphipod.toml").write_text(
            """
            pod_api_url = "https://u:hush-pod@127.0.0.1:1/rest/"
            pod_api_token = "hush-token"
            pod_broker_url = "redis://:hush-broker@127.0.0.1:1/5"
            webhook_secret = "hush-webhook"
            [plugin.xapi]
            lrs_url = "https://u:hush-lrs@lrs/xAPI/statements"
            lrs_pwd = "hush-pwd"
            stores = [{name = "b", url = "https://u:hush-store@b/", token = "hush-bearer"}]
            [plugin.toy]
            address = "unix:///run/x.sock?password=hush-query"
            token = "hush-toy"
            [plugin.absent]
            token = "hush-absent"
            """
        )
        monkeypatch.setenv("AMPHIPOD_BROKER_URL", "redis://:hush-own@127.0.0.1:1/0")
        doctor = [sys.executable, "-m", "core.cli", "doctor"]
        lines, report = (
            subprocess.run([*doctor, *flags], capture_output=True, text=True) for flags in ((), ("--json",))
        )
        assert json.loads(report.stdout)["settings"]["plugin"]["absent"] == {"token": "[hidden]"}
        assert json.loads(report.stdout)["settings"]["pod_api_url"] == "https://u:[hidden]@127.0.0.1:1/rest/"
        return lines.stdout + lines.stderr + report.stdout + report.stderr

    def test_prints_no_secret(self, said: str) -> None:
        assert "unix:///run/x.sock?password=[hidden]" in said
        assert [line for line in said.splitlines() if "hush" in line] == []
