"""Each setting, command, hook, operation, metric and kind of file has its place in the documentation."""

from __future__ import annotations

import re

from core.model.artifact import KINDS
from core.plugin_host.manager import specifications
from core.settings import Settings
from tools.docs import reference

from .conftest import DOCS


def test_what_the_code_knows_is_on_the_pages_that_it_writes() -> None:
    pages = reference.pages()
    assert [name for name, _ in reference.commands() if f"## {name}\n" not in pages["reference/commands.md"]] == []
    names = [f"AMPHIPOD_{name.upper()}" for name in Settings.model_fields]
    assert [name for name in names if f"| `{name}` |" not in pages["reference/settings.md"]] == []
    assert [name for name, _ in specifications() if f"## {name}\n" not in pages["reference/hooks.md"]] == []
    assert [kind for kind in KINDS if f"| `{kind}` |" not in pages["reference/manifest.md"]] == []


def test_each_operation_of_the_api_is_described() -> None:
    page = reference.pages()["reference/api.md"]
    found = [(path, method) for path, methods in reference.schema()["paths"].items() for method in methods]
    assert len(found) > 20
    assert [one for one in found if f"## {one[1].upper()} {one[0]}\n" not in page] == []
    sections = re.findall(r"^## ((?:GET|POST|PUT|PATCH|DELETE|HEAD) .+)\n\n(.*)$", page, re.MULTILINE)
    assert [name for name, words in sections if not words] == [], "give the function a docstring"


def test_each_command_says_what_it_does() -> None:
    assert [name for name, command in reference.commands() if not command.help] == []


def test_each_metric_is_on_the_page_about_monitoring() -> None:
    sources = "".join(
        (DOCS.parent / name).read_text(encoding="utf-8")
        for name in ("core/measures.py", "core/web/metrics.py", "core/queue/host_metrics.py")
    )
    names = set(re.findall(r'"(amphipod_\w+[a-z])"', sources))
    assert len(names) > 15
    page = (DOCS / "monitoring.md").read_text(encoding="utf-8")
    assert [name for name in sorted(names) if not re.search(rf"^\| `{name}(_total)?` \|", page, re.MULTILINE)] == []
