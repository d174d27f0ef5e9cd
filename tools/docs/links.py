"""Links of our pages to files of the sources, on a site that has no sources: each such file becomes a page."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

_LINK = re.compile(r"(\]\()(?!https?:|mailto:|#)([^)#\s]+)")

#: What a page about a folder shows of it, in this order.
_SHOWN = ("*.md", "*.py", "*.toml", "*.yml", "*.yaml", "*.service", "*.timer", "Dockerfile*", "*.example")
_LANGUAGES = {"py": "python", "yml": "yaml", "service": "ini", "timer": "ini"}


def linked(page: Path) -> Iterator[Path]:
    """Return the files and folders outside `docs/` that a page of the sources links to."""
    for _, target in _LINK.findall(page.read_text(encoding="utf-8")):
        path = (page.parent / target).resolve()
        if path.exists() and path.is_relative_to(ROOT) and not path.is_relative_to(DOCS):
            yield path


def all_linked() -> dict[str, Path]:
    """Return those of all pages, and of what they link to in turn, by the address of the page about each."""
    found: dict[str, Path] = {}
    waiting = [path for page in sorted(DOCS.rglob("*.md")) for path in linked(page)]
    while waiting:
        path = waiting.pop()
        if address(path) not in found:
            found[address(path)] = path
            text = path / "README.md" if path.is_dir() else path
            waiting += linked(text) if text.suffix == ".md" and text.exists() else ()
    return found


def address(path: Path) -> str:
    """Return the page's address of a file or folder of the sources."""
    if path.is_relative_to(DOCS):
        return str(path.relative_to(DOCS))
    # Without a dot: "allowed.py.md" would be a page in the language "py".
    return f"source/{str(path.relative_to(ROOT)).removesuffix('.md').replace('.', '_')}.md"


def page_about(path: Path) -> str:
    """Return a page that shows a file, or what a folder has."""
    if path.is_file():
        return path.read_text(encoding="utf-8") if path.suffix == ".md" else f"# {path.name}\n\n{_code(path)}"
    files = [file for pattern in _SHOWN for file in sorted(path.glob(pattern)) if file.is_file()]
    readme = path / "README.md"
    start = readme.read_text(encoding="utf-8") if readme in files else f"# {path.relative_to(ROOT)}\n"
    return "\n".join([start, *(f"## `{file.name}`\n\n{_code(file)}" for file in files if file != readme)])


def _code(path: Path) -> str:
    language = _LANGUAGES.get(path.suffix[1:], path.suffix[1:])
    return f"````{language}\n{path.read_text(encoding='utf-8')}````\n"


def rewritten(text: str, of: Path, uri: str) -> str:
    """Return a page's text with its links as they are on the site.

    :param of: the file that the text is from, or the folder that it is about.
    :param uri: the page's own address.
    """
    beside = of if of.is_dir() else of.parent

    def changed(link: re.Match[str]) -> str:
        path = (beside / link[2]).resolve()
        if (
            not path.is_relative_to(ROOT)
            or not path.exists()
            or (of.is_relative_to(DOCS) and path.is_relative_to(DOCS))
        ):
            return link[0]
        return link[1] + posixpath.relpath(address(path), posixpath.dirname(uri))

    return _LINK.sub(changed, text)
