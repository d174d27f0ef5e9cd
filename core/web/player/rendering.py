"""The player's HTML, for a page that a server sends and for one that is a single file."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from core.web.player.context import PlayerContext

if TYPE_CHECKING:
    from jinja2 import Environment

HERE = Path(__file__).parent
STATIC = HERE.parent / "static"
_CONTROLS, _HLS_JS = STATIC / "vendor/media-chrome.js", STATIC / "vendor/hls.js"
_STYLE = STATIC / "player/player.css"

#: Each after those that it imports.
_MODULES = tuple(
    STATIC / f"player/{name}.js" for name in ("words", "qualities", "tracks", "transcript", "keys", "player")
)


@cache
def words() -> Mapping[str, Mapping[str, str]]:
    """Return the texts of the player by language, each by its English."""
    found: dict[str, dict[str, str]] = json.loads((HERE / "words.json").read_bytes())
    return found


def part(
    context: PlayerContext,
    *,
    static_url: str,
    language: str = "en",
    translate: Callable[[str], str] | None = None,
) -> Markup:
    """Return the player as a part of a page, with the links to its style sheet and modules below `static_url`.

    It works under `POLICY`, web/http/headers.py. `translate` takes an English text, in place of the player's own words.
    """
    own = words().get(language, {})
    static = static_url.rstrip("/")
    return Markup(  # noqa: S704  # nosec B704  # what the template has escaped
        _environment()
        .get_template("part.html")
        .render(
            film=context,
            _=translate or (lambda text: own.get(text, text)),
            language=language,
            data=_data(context, language=language, hls=f"{static}/vendor/hls.js" if _HLS_JS.exists() else None),
            style_url=f"{static}/player/player.css",
            script_urls=[
                *([f"{static}/vendor/media-chrome.js"] if _CONTROLS.exists() else []),
                f"{static}/player/player.js",
            ],
            alone=False,
        )
    )


def page(context: PlayerContext) -> str:
    """Return a page that needs no other file but the film: its language is the browser's, its texts are inside."""
    return (
        _environment()
        .get_template("page.html")
        .render(
            film=context,
            _=lambda text: text,
            language=None,
            data=_data(context, language=None, hls=None),
            style=_inside(_STYLE.read_text(encoding="utf-8")),
            scripts=[
                *([_inside(_CONTROLS.read_text(encoding="utf-8"))] if _CONTROLS.exists() else []),
                _inside(_joined(_MODULES)),
            ],
            alone=True,
        )
    )


def _data(context: PlayerContext, *, language: str | None, hls: str | None) -> dict[str, Any]:
    """Return what the module reads; without a language it takes the browser's."""
    film = context.model_dump(mode="json", exclude_defaults=True, exclude={"downloads", "captions"})
    return {"film": film, "language": language, "words": words(), "hls": hls}


def _joined(modules: Iterable[Path]) -> str:
    """Return modules of ours as one, which imports nothing; each of their imports is a line, no name is there twice."""
    code = "\n".join(path.read_text(encoding="utf-8") for path in modules)
    return re.sub(r"^import .*\n|^export ", "", code, flags=re.MULTILINE)


def _inside(code: str) -> Markup:
    """Return code that nothing ends before its element does."""
    return Markup(re.sub(r"<(/script|/style|!--)", r"<\\\1", code))  # noqa: S704  # nosec  # files of ours


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # commands without a page start sooner

    return Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
