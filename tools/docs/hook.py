"""What MkDocs asks before it builds the site (mkdocs.yml): all pages in one folder, written ones and made ones."""

from __future__ import annotations

import shutil
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig

from tools.docs import links, reference

ASSEMBLED = links.ROOT / "build/docs"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    assemble(ASSEMBLED)
    config.docs_dir = str(ASSEMBLED)
    return config


def assemble(folder: Path) -> None:
    """Copy `docs/` there, its links fit for the site; add what the code writes and linked sources."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(links.DOCS, folder)
    for page in links.DOCS.rglob("*.md"):
        uri = str(page.relative_to(links.DOCS))
        _write(folder / uri, links.rewritten(page.read_text(encoding="utf-8"), page, uri))
    for uri, path in links.all_linked().items():
        _write(folder / uri, links.rewritten(links.page_about(path), path, uri))
    for uri, text in reference.pages().items():
        _write(folder / uri, text)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
