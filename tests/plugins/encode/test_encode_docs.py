"""docs/encode.md names every option, and its examples are accepted."""

from __future__ import annotations

import json
import re
from pathlib import Path

from plugins.encode.dressing import Watermark
from plugins.encode.options import EncodeOptions
from plugins.encode.profiles import LECTURE, POD, Profile, RenditionSpec, Storyboard
from plugins.encode.studio.options import ComposeOptions

PAGE = (Path(__file__).parents[3] / "docs/encode.md").read_text(encoding="utf-8")


def test_every_option_is_described() -> None:
    fields = {*EncodeOptions.model_fields, *ComposeOptions.model_fields, *Watermark.model_fields}
    fields |= {*Profile.model_fields, *RenditionSpec.model_fields, *Storyboard.model_fields} - {"name"}
    assert [field for field in sorted(fields) if not re.search(rf"`(\w+\.)?{field}`", PAGE)] == []


def test_the_examples_are_accepted() -> None:
    examples = re.findall(r"--option '?(\w+)=(\{.*?\}(?=')|[^\s'`]+)[\s']", PAGE, re.DOTALL)
    assert len(examples) == 6
    for name, value in examples:
        EncodeOptions.model_validate({"cut_start": 1} | {name: json.loads(value) if value[0] in "{-" else value})


def test_the_defaults_are_those_of_the_page() -> None:
    defaults = EncodeOptions()
    assert (defaults.profile, defaults.cut_start, defaults.cut_end, defaults.loudness) == (POD, 0, 0, "off")
    assert f"| `thumbnails` | {defaults.thumbnails} |" in PAGE
    assert f"| `part_seconds` | {defaults.part_seconds:g} |" in PAGE
    assert [rung.crf for rung in LECTURE.renditions] == [14, 16.5, 19]
