"""A picture that somebody uploaded or named, as pixels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from core import BadSource
from plugins.media.source_file import check_file

if TYPE_CHECKING:
    from PIL.Image import Image

#: Formats that Pillow decodes itself; for others (EPS) it runs a program.
PICTURES = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")


def read_picture(path: Path, what: str) -> Image:
    """Return the first picture of a file, with transparency.

    :param what: what it is for, as the message of a refusal names it.
    :raises BadSource: it is no picture, or can't be read.
    """
    from PIL import Image

    check_file(path)
    try:
        with Image.open(path, formats=PICTURES) as picture:
            return picture.convert("RGBA")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        problem = f"the {what} {path} can't be read as a picture"
        raise BadSource(problem, remedy="give a PNG", path=str(path)) from error
