"""The documentation knows every hook and every setting, and quotes what is there."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from core.plugin_host.manager import specifications
from core.settings import Settings
from core.settings.plugin_settings import variable
from plugins.media.settings import MediaSettings
from plugins.transcript.settings import TranscriptSettings
from plugins.xapi.settings import XapiSettings

ROOT = Path(__file__).parents[1]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_each_hook_is_documented_with_its_arguments() -> None:
    expected = [f"{name}({', '.join(inspect.signature(spec).parameters)})" for name, spec in specifications()]
    assert re.findall(r"^### `(.+)`$", read("docs/hooks.md"), re.MULTILINE) == expected


def test_each_setting_is_documented_in_its_own_words() -> None:
    expected = {f"AMPHIPOD_{name.upper()}": field.description for name, field in Settings.model_fields.items()}
    for plugin, own in (("media", MediaSettings), ("transcript", TranscriptSettings), ("xapi", XapiSettings)):
        expected |= {variable(plugin, name): field.description for name, field in own.model_fields.items()}
    found = dict(re.findall(r"^\| `(AMPHIPOD_\w+)` \| .* \| (.+) \|$", read("docs/settings.md"), re.MULTILINE))
    assert {name: words for name, words in expected.items() if found.get(name) != words} == {}, "write these down"
    assert not found.keys() - expected.keys(), "no longer a setting"


@pytest.mark.parametrize(
    "page",
    sorted(
        str(path.relative_to(ROOT))
        for path in ROOT.glob("**/*.md")
        if not {".venv", "build", "node_modules"}.intersection(path.parts)
    ),
)
def test_links_lead_somewhere(page: str) -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", read(page))
    assert not [target for target in targets if not (ROOT / page).parent.joinpath(target).exists()]


def test_what_the_architecture_says_to_open_is_there() -> None:
    table = read("docs/architecture.md").partition("| to change | open |")[2]
    paths = re.findall(r"`((?:core|plugins)/[\w/]+\.py)`", table)
    assert len(paths) >= 15
    assert [path for path in paths if not (ROOT / path).is_file()] == []
