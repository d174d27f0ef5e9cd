"""What a record store's keeper does by the command line: look, filter, drop, export, forget."""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from core import submit_statements
from core.cli.emit import _statements as read_statements
from core.errors import BadCall
from core.model import now
from core.plugin_host.manager import Manager
from core.redis import connection
from core.settings import Settings
from core.statements import dead_letters, forget, people
from core.statements import submit as waiting
from core.statements.outbox import Entry, Outbox

from .test_statements import Configure, amphipod, dead, report, statement
from .test_statements import configure as configure  # a fixture

HOME = {"homePage": "https://cas.univ-demo.fr"}


@pytest.fixture
def keeper(configure: Configure) -> Settings:
    """The settings of a store that nobody answers for, and that hides people."""
    return configure("http://127.0.0.1:9/xAPI/statements", xapi_anonymize_actor="true", xapi_anonymize_key="a key")


def box(settings: Settings, name: str = "lrs") -> Outbox:
    return waiting.outbox(connection.shared(settings), name, settings)


def bury(settings: Settings, *letters: tuple[Mapping[str, Any], str]) -> None:
    dead_letters.bury(box(settings), "0", [(Entry("1", json.dumps(one)), words) for one, words in letters])


@pytest.mark.long
def test_dead_statements_are_shown_filtered_exported_and_dropped_by_id_or_reason(keeper: Settings) -> None:
    some = [statement(number) for number in range(3)]
    bury(keeper, (some[0], "verb is missing"), (some[1], "Actor is wrong"), (some[2], "verb is odd"))

    shown = amphipod("statements", "dead", "--reason", "VERB", "--export").stdout.splitlines()
    assert [json.loads(line)["statement"]["id"] for line in shown] == [some[0]["id"], some[2]["id"]]
    assert amphipod("statements", "dead", some[1]["id"], "--json").stdout.count('"words"') == 1
    refused = amphipod("statements", "dead", "--drop")
    assert (refused.returncode != 0, "would remove all" in refused.stderr) == (True, True)
    assert amphipod("statements", "dead", some[0]["id"], "--drop", "--json").stdout == '{"removed": 1}\n'
    assert [one["statement"]["id"] for one in dead(keeper)] == [some[1]["id"], some[2]["id"]], "in their order"


def test_dead_statements_are_removed_after_their_time(keeper: Settings) -> None:
    old, young = statement(1), statement(2)
    bury(keeper, (old, "no"))
    (path,) = box(keeper).dead.files()
    letter = json.loads(path.read_text())
    path.write_text(json.dumps(letter | {"at": (now() - timedelta(days=8)).isoformat()}) + "\n")
    bury(keeper, (young, "no"))
    assert dead_letters.expire(box(keeper), 7) == 1
    assert [one["statement"]["id"] for one in dead(keeper)] == [young["id"]]


def test_the_command_fails_while_an_alarm_stands(keeper: Settings) -> None:
    box(keeper).settle("0", (), alarm="it refuses our login")
    told = amphipod("statements")
    assert (told.returncode, "it refuses our login" in told.stdout) == (1, True)


def test_who_is_forgotten_is_nowhere_and_nobody_else_is(keeper: Settings) -> None:
    ada, bob = statement(1), statement(2)
    teaching = {**statement(3), "context": {"instructor": ada["actor"]}}
    manager = Manager(keeper)
    (destination,) = manager.statement_destinations()
    hidden = manager.prepare_statement(ada, destination, None)
    assert hidden
    submit_statements([ada, bob, teaching], settings=keeper)
    full = Outbox(connection.shared(keeper), "lrs", keeper.jobs_root, 0)
    full.put("3", [json.dumps(hidden), json.dumps(bob)])
    full.put("3", [json.dumps(bob)])
    bury(keeper, (hidden, "no"), (ada, "no"), (bob, "no"))

    boxes = [box(keeper, waiting.INTAKE), box(keeper)]
    gone = forget.everywhere(people.agent_of("Student1@univ-demo.fr"), boxes, manager, keeper)

    assert gone == {"_intake": 2, "lrs": 3}
    assert (report(keeper, waiting.INTAKE)["waiting"], report(keeper)["waiting"], len(dead(keeper))) == (1, 2, 1)
    files = list((keeper.jobs_root / "statements").rglob("*.jsonl"))
    name = hidden["actor"]["account"]["name"]
    assert not [path for path in files if "student1@" in path.read_text() or name in path.read_text()]


def test_what_is_kept_of_statements_is_for_their_worker_alone(keeper: Settings) -> None:
    bury(keeper, (statement(1), "no"))
    Outbox(connection.shared(keeper), "lrs", keeper.jobs_root, 0).put("3", ["{}"])
    for path in (keeper.jobs_root / "statements").rglob("*.jsonl"):
        assert stat.filemode(path.stat().st_mode) == "-rw-------"


@pytest.mark.parametrize(
    ("words", "agent"),
    [
        ("ada@univ.fr", {"mbox": "mailto:ada@univ.fr"}),
        ("https://id.univ.fr/ada", {"openid": "https://id.univ.fr/ada"}),
        ("amin", {"account": {"name": "amin"}}),
        (json.dumps({"account": HOME | {"name": "amin"}}), {"account": HOME | {"name": "amin"}}),
    ],
)
def test_a_person_is_named_as_one_types(words: str, agent: dict[str, Any]) -> None:
    assert people.agent_of(words) == agent
    known = {"account": HOME | {"name": "amin"}}
    wanted = frozenset(people.identities(agent))
    assert people.speaks_of({"actor": known}, wanted) is ("amin" in words)


@pytest.mark.parametrize(
    "text",
    [
        '{"id": 1}\n\n{"id": 2}\n',
        '[{"id": 1},\n {"id": 2}]\n',
        '[{"id": 1}]\n[{"id": 2}]',
        '[\n{"id": 1}, {"id": 2}\n]',
    ],
)
def test_emit_reads_lines_and_arrays(tmp_path: Path, text: str) -> None:
    (tmp_path / "file").write_text(text)
    with (tmp_path / "file").open() as file:
        assert [one["id"] for one in read_statements(file, "file")] == [1, 2]


def test_emit_names_the_line_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text('{"id": 1}\n[2]\n')
    with (tmp_path / "file").open() as file, pytest.raises(BadCall, match="file, line 2: not a JSON object"):
        list(read_statements(file, "file"))


@pytest.mark.long
def test_pseudonyms_of_the_key_in_force_and_of_earlier_ones_stand_side_by_side(
    keeper: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMPHIPOD_XAPI_ANONYMIZE_KEY_ID", "2026")
    monkeypatch.setenv("AMPHIPOD_XAPI_ANONYMIZE_OLD_KEYS", '{"2025": "an older key"}')
    new, old = (json.loads(line)["account"] for line in amphipod("pseudonyms", "ada@univ.fr").stdout.splitlines())
    assert (new["homePage"], old["homePage"]) == ("https://pseudonym.invalid/2026", "https://pseudonym.invalid/2025")
    assert new["name"] != old["name"]
    assert "makes new people" in amphipod("pseudonyms").stdout
