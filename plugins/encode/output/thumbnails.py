"""Pictures of the film: its poster's candidates and the sprite that a player shows while one seeks.

Pod's layout (Encoding_video.py, create_overview), unless a profile has another: one row of 100 tiles, or of 10 for a
film of less than 100 seconds, each 90 lines high; none for a film of less than 10 seconds.
"""

from __future__ import annotations

import io
from bisect import bisect_left
from pathlib import Path
from typing import TYPE_CHECKING

from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation
from PIL import Image

from plugins.encode.webvtt import clock
from plugins.media.opener import open_source
from plugins.media.picture_file import decode_picture
from plugins.media.source_file import packets

if TYPE_CHECKING:
    from plugins.encode.options import EncodeOptions
    from plugins.encode.source.probe import Media
    from plugins.encode.source.video_track import VideoTrack

_SPRITE_FROM = 10
_MANY_TILES_FROM = 100

#: Pixels that a picture of a format may be wide and high.
_WIDEST = {"png": 1 << 31, "webp": 16_383}

#: A cover is printed matter at times; a poster needs no more pixels than this.
_COVER_SIZE = (1280, 1280)


class Stills:
    """Picks pictures from the frames of one rendition, as they pass.

    Of `count` pictures over the film, picture i is what is shown at (i + 1/2) / count of it, which is what ffmpeg's
    filter `fps=count/duration` gives.
    """

    def __init__(self, folder: Path, video: VideoTrack, duration: float, options: EncodeOptions) -> None:
        profile, board = options.ladder, options.ladder.storyboard
        self.thumbnails = thumbnail_paths(folder, options)
        self.sprite = folder / f"overview.{profile.images}" if duration >= _SPRITE_FROM else None
        self.index = folder / "overview.vtt" if duration >= _SPRITE_FROM else None
        self.tile_height = board.height
        self.tile_width = max(video.width * board.height // video.height, 1)
        self.tiles = board.tiles or (100 if duration >= _MANY_TILES_FROM else 10)
        self._columns = min(board.columns or self.tiles, _WIDEST[profile.images] // self.tile_width)
        self._duration = duration
        self._poster_times = _middles(duration, options.thumbnails)
        self._tile_times = _middles(duration, self.tiles) if self.sprite else []
        self._row = Image.new("RGB", (self.tile_width * len(self._tile_times), self.tile_height))
        self._posters = 0
        self._tiled = 0
        self._skipped = 0

    def show(self, frame: VideoFrame, until: float) -> None:
        """Take what is wanted of a frame that is shown until a time in seconds."""
        while self._posters < len(self._poster_times) and self._poster_times[self._posters] < until:
            _image(frame).save(self.thumbnails[self._posters])
            self._posters += 1
        tile = None
        while self._tiled < len(self._tile_times) and self._tile_times[self._tiled] < until:
            tile = tile or _image(frame, self.tile_width, self.tile_height)
            self._row.paste(tile, (self._tiled * self.tile_width, 0))
            self._tiled += 1

    def keep(self, start: float, end: float) -> None:
        """Leave to other parts what is shown before or after these times in seconds."""
        self._posters = bisect_left(self._poster_times, start)
        self._tiled = self._skipped = bisect_left(self._tile_times, start)
        del self._poster_times[bisect_left(self._poster_times, end) :]
        del self._tile_times[bisect_left(self._tile_times, end) :]

    def save_tiles(self, path: Path) -> None:
        """Keep the tiles of this part, if it has any, for `add_tiles`."""
        if self._tiled > self._skipped:
            box = self._skipped * self.tile_width, 0, self._tiled * self.tile_width, self.tile_height
            self._row.crop(box).save(path)

    def add_tiles(self, path: Path) -> None:
        """Take the tiles of the next part."""
        with Image.open(path) as tiles:
            self._row.paste(tiles, (self._tiled * self.tile_width, 0))
            self._tiled += tiles.width // self.tile_width

    def write(self) -> None:
        """Write the sprite and its index, once the last frame has been shown."""
        if self.sprite and self.index:
            self._sheet().save(self.sprite)
            self.index.write_text(self._index(self.sprite.name))

    def _sheet(self) -> Image.Image:
        """Break the row of tiles into lines."""
        if self._columns >= self.tiles:
            return self._row
        width, height = self._columns * self.tile_width, self.tile_height
        lines = -(-self.tiles // self._columns)
        sheet = Image.new("RGB", (width, lines * height))
        for line in range(lines):
            sheet.paste(self._row.crop((line * width, 0, (line + 1) * width, height)), (0, line * height))
        return sheet

    def _index(self, name: str) -> str:
        width, height = self.tile_width, self.tile_height
        cues = (
            f"{clock(self._duration * tile / self.tiles)} --> {clock(self._duration * (tile + 1) / self.tiles)}\n"
            f"{name}#xywh={tile % self._columns * width},{tile // self._columns * height},{width},{height}\n"
            for tile in range(self.tiles)
        )
        return "WEBVTT\n\n" + "\n".join(cues)


def save_cover(media: Media, folder: Path, options: EncodeOptions) -> tuple[Path, ...]:
    """Write the attached picture as each of the thumbnails: Pod shows the second, so one wouldn't do.

    :raises ValueError: it is no picture, or is cut off.
    """
    with open_source(media.path, media.settings) as container:
        attached = next(packets(container, [container.streams[media.cover or 0]]), None)
        # By its bytes: taggers call a JPEG a PNG, and libav takes their word.
        image = decode_picture(io.BytesIO(bytes(attached or b"")), media.settings).convert("RGB")
    image.thumbnail(_COVER_SIZE)
    paths = thumbnail_paths(folder, options)
    for path in paths:
        image.save(path)
    return paths


def thumbnail_paths(folder: Path, options: EncodeOptions) -> tuple[Path, ...]:
    names = (f"thumbnail_{number + 1:04}.{options.ladder.images}" for number in range(options.thumbnails))
    return tuple(folder / name for name in names)


def _image(frame: VideoFrame, width: int | None = None, height: int | None = None) -> Image.Image:
    size = {"width": width, "height": height, "interpolation": Interpolation.BICUBIC}
    image: Image.Image = frame.to_image(**size)  # type: ignore[no-untyped-call]
    return image


def _middles(duration: float, count: int) -> list[float]:
    return [(number + 0.5) * duration / count for number in range(count)]
