"""A picture that somebody uploaded or named, as pixels."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import IO, TYPE_CHECKING

from core import BadSource
from plugins.media.limits import check_picture
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
    check_file(path)
    try:
        with path.open("rb") as file:
            return decode_picture(file)
    except (OSError, ValueError) as error:
        problem = f"the {what} {path} can't be read as a picture ({error})"
        raise BadSource(problem, remedy="give a PNG", path=str(path)) from error


def decode_picture(file: IO[bytes]) -> Image:
    """Decode the first picture by what its bytes say, whatever it is called.

    :raises ValueError: it is none, is cut off, or is larger than any that is meant to be seen.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", Image.DecompressionBombWarning
            )  # we take less than half of what it warns of
            picture = Image.open(file, formats=PICTURES)
        with picture:
            check_picture(*picture.size)
            return picture.convert("RGBA")
    # Pillow's readers raise what they stumble over.
    except (OSError, SyntaxError, EOFError, IndexError, Image.DecompressionBombError) as error:
        raise ValueError("no picture") from error
