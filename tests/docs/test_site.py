"""`make docs` builds both languages without a warning, links and anchors checked; who reads it asks no other host."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import DOCS, ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.long
def test_each_page_is_there_in_both_languages(site: Path) -> None:
    assert "Votre premier film" in (site / "fr/tutorial.html").read_text(encoding="utf-8")
    names = [
        str(page.relative_to(DOCS)).replace(".md", ".html") for page in DOCS.rglob("*.md") if ".fr." not in page.name
    ]
    assert [name for name in names if not ((site / name).exists() and (site / "fr" / name).exists())] == []


@pytest.mark.long
def test_it_asks_nobody(site: Path) -> None:
    pages = {page: page.read_text(encoding="utf-8") for page in site.rglob("*.html")}
    asked = r'<(?:script|img|link(?=[^>]*rel="(?:stylesheet|preconnect|icon)"))[^>]*(?:src|href)="(?:https?:)?//[^"]*"'
    assert {str(page): found for page, text in pages.items() if (found := re.findall(asked, text))} == {}
