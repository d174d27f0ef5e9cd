"""API tokens: only hashes at rest, gone when revoked or expired."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from core.errors import BadCall, BadSettings
from core.model import now
from core.web import tokens
from core.web.tokens import TokenFile


def test_only_the_hash_is_kept_and_only_the_owner_may_read_it(tmp_path: Path) -> None:
    kept, text = tokens.create(tmp_path, "submit", name="portal")

    file = tmp_path / "tokens.json"
    assert text.split("_", 2)[2] not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    assert tokens.find(tokens.read(tmp_path), text) == kept


def test_what_is_none_of_ours_is_nobody_s(tmp_path: Path) -> None:
    kept, text = tokens.create(tmp_path, "read")
    known = tokens.read(tmp_path)
    for wrong in (
        "",
        "amp",
        text[:-1],
        f"{text}x",
        f"amp_{kept.id}_",
        f"amp_00000000_{text.split('_', 2)[2]}",
        "\udc80",
    ):
        assert tokens.find(known, wrong) is None


def test_an_expired_token_lets_nobody_in(tmp_path: Path) -> None:
    _, text = tokens.create(tmp_path, "manage", expires_at=now() + timedelta(seconds=-1))
    assert tokens.find(tokens.read(tmp_path), text) is None


def test_a_scope_includes_those_below_it() -> None:
    assert [tokens.allows(scope, "submit") for scope in tokens.SCOPES] == [False, True, True]


def test_a_revoked_token_is_gone_for_a_server_that_knew_it(tmp_path: Path) -> None:
    served = TokenFile(tmp_path)
    kept, text = tokens.create(tmp_path, "read")
    assert tokens.find(served.tokens(), text)
    tokens.revoke(tmp_path, kept.id)
    assert tokens.find(served.tokens(), text) is None
    with pytest.raises(BadCall, match="token list"):
        tokens.revoke(tmp_path, kept.id)


def test_a_damaged_file_lets_nobody_in(tmp_path: Path) -> None:
    (tmp_path / "tokens.json").write_text("[{]")
    with pytest.raises(BadSettings, match="damaged"):
        TokenFile(tmp_path).tokens()


def test_the_command_makes_lists_and_revokes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMPHIPOD_JOBS_ROOT", str(tmp_path))

    def amphipod(*words: str) -> str:
        command = [sys.executable, "-m", "core.cli", "token", *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    text = amphipod("create", "--scope", "manage", "--name", "me", "--days", "1")
    found = tokens.find(tokens.read(tmp_path), text)
    assert found is not None
    assert found.scope == "manage"
    assert f"{found.id}  manage" in amphipod("list")
    assert amphipod("revoke", found.id) == f"{found.id} revoked"
