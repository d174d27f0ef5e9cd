"""What an institution puts on a lecture: its logo in a corner, a film before it and one behind."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from plugins.media.picture_file import read_picture
from plugins.media.settings import DEFAULTS, MediaSettings

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

#: Of the film's height (Esup-Pod, encoding_settings.py).
_LOGO_HEIGHT = 0.1
_MARGIN = 0.05


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError(f"{path} is not an absolute path")
    return path


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]


class Watermark(BaseModel):
    """A picture that lies over the whole lecture, not over the credits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: A PNG, or what else Pillow reads; what is transparent in it stays so.
    path: AbsolutePath
    position: Literal["top_left", "top_right", "bottom_left", "bottom_right"] = "top_right"
    #: Per cent.
    opacity: int = Field(default=100, ge=1, le=100)


class Dressing(BaseModel):
    """Each of the three may be missing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    watermark: Watermark | None = None
    #: Films of any size, with or without sound; they are fitted into the lecture's frame.
    opening: AbsolutePath | None = None
    ending: AbsolutePath | None = None


def draw_logo(watermark: Watermark, height: int, settings: MediaSettings = DEFAULTS) -> VideoFrame:
    """Return the logo as it lies over a film of this height.

    :raises BadSource: the file is no picture.
    """
    from av.video.frame import VideoFrame
    from PIL import Image

    image = read_picture(watermark.path, "watermark", settings)
    lines = max(round(height * _LOGO_HEIGHT), 2)
    image = image.resize((max(round(image.width * lines / image.height), 2), lines), Image.Resampling.LANCZOS)
    image.putalpha(image.getchannel("A").point(lambda alpha: round(alpha * watermark.opacity / 100)))
    return VideoFrame.from_bytes(image.tobytes(), image.width, image.height, format="rgba")


def logo_place(watermark: Watermark, height: int) -> str:
    """Return where the logo lies, in the words of libavfilter's `overlay`; even, for the sake of chroma."""
    margin = round(height * _MARGIN / 2) * 2
    far = {"x": f"floor((W-w-{margin})/2)*2", "y": f"floor((H-h-{margin})/2)*2"}
    x = far["x"] if watermark.position.endswith("right") else str(margin)
    y = far["y"] if watermark.position.startswith("bottom") else str(margin)
    return f"x={x}:y={y}"
