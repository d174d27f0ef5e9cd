"""A picture that somebody uploaded or named, as pixels."""

from __future__ import annotations

import io
import struct
import warnings
from pathlib import Path
from typing import IO, TYPE_CHECKING

from core import BadSource
from plugins.media.limits import check_picture
from plugins.media.opener import open_file
from plugins.media.settings import DEFAULTS, MediaSettings

if TYPE_CHECKING:
    from PIL.Image import Image

#: Formats that Pillow decodes itself; for others (EPS) it runs a program.
PICTURES = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")

_STUMBLED = (OSError, SyntaxError, EOFError, LookupError, ArithmeticError, RuntimeError, TypeError, struct.error)


def read_picture(path: Path, what: str, settings: MediaSettings = DEFAULTS) -> Image:
    """Return the first picture of a file, with transparency.

    :param what: what it is for, as the message of a refusal names it.
    :raises BadSource: it is no picture, or can't be read.
    """
    try:
        with open_file(path) as file:
            return decode_picture(file, settings)
    except (OSError, ValueError) as error:
        problem = f"the {what} {path} can't be read as a picture ({error})"
        raise BadSource(problem, remedy="give a PNG", path=str(path)) from error


def decode_picture(file: IO[bytes], settings: MediaSettings = DEFAULTS) -> Image:
    """Decode the first picture by what its bytes say, whatever it is called.

    :raises ValueError: it is none, is cut off, or is larger than any that is meant to be seen.
    """
    from PIL import Image

    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    if size > settings.picture_limit:  # some of Pillow's readers take in the whole file before they know its size
        raise ValueError(f"it has {size / 1e6:.1f} MB, {settings.picture_limit / 1e6:.3g} are taken")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", Image.DecompressionBombWarning
            )  # we take less than half of what it warns of
            picture = Image.open(file, formats=PICTURES)
        with picture:
            check_picture(*picture.size, settings)
            return picture.convert("RGBA")
    # Pillow's readers raise what they stumble over, libavif's RuntimeError among it.
    except Image.DecompressionBombError as error:  # before we are asked
        raise ValueError(f"it has more than {settings.picture_pixel_limit / 1e6:.3g} million pixels") from error
    except _STUMBLED as error:
        raise ValueError("it is none, or is cut off") from error
