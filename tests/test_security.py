"""SECURITY.md promises nothing that no test holds."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py(?:::\w+)?)`", (ROOT / "SECURITY.md").read_text(encoding="utf-8"))))


def test_each_threat_has_a_measure_and_a_test() -> None:
    _, _, table = (ROOT / "SECURITY.md").read_text(encoding="utf-8").partition("| --- | --- | --- | --- |\n")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.partition("\n\n")[0].splitlines()]
    assert len(rows) > 20
    assert [row for row in rows if len(row) != 4 or not all(row) or row[3].strip("`") not in NAMED] == []


@pytest.mark.parametrize("named", NAMED)
def test_a_test_that_it_names_exists(named: str) -> None:
    path, _, name = named.partition("::")
    tree = ast.parse((ROOT / path).read_bytes())
    tests = {
        node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }
    assert tests
    assert not name or name in tests
