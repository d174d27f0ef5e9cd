"""The film that is made of a source: its stretch of the lecture, what comes before and behind, and when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from core import BadSource
from plugins.encode.audio.resample import RATE
from plugins.encode.dressing import Watermark  # at run time too: a film travels to the parts as JSON
from plugins.encode.source.probe import AudioTrack, Media, probe
from plugins.encode.source.texts import Chapter
from plugins.media.settings import DEFAULTS, MediaSettings

if TYPE_CHECKING:
    from plugins.encode.options import EncodeOptions

#: A chapter that a cut leaves with less than this many seconds is no chapter.
_SHORTEST_CHAPTER = 1


#: Seconds for which there may be no picture in the beginning. Players wait for one, or leave out the sound until then.
PATIENCE = 2


@dataclass(frozen=True)
class Scene:
    """A stretch of one source. Times in seconds; the source's begin with its first picture or sound."""

    media: Media
    start: Fraction
    #: None: until the source ends, wherever that is.
    end: Fraction | None
    #: When it begins in the film.
    at: Fraction
    watermark: Watermark | None = None
    #: Pictures of another film, to be brought to this frame.
    fit: bool = False

    @property
    def length(self) -> Fraction:
        end = Fraction(self.media.duration) if self.end is None else self.end
        return max(end - self.start, Fraction(0))

    @property
    def shift(self) -> Fraction:
        """What is to be taken off a time stamp of the file to have the film's time."""
        return self.media.origin + self.start - self.at

    @property
    def until(self) -> Fraction | None:
        """When it ends in the film; None if that shows when it is read."""
        return None if self.end is None else self.at + self.length


@dataclass(frozen=True)
class Film:
    """What is encoded."""

    scenes: tuple[Scene, ...]
    lecture: Scene
    notes: tuple[str, ...] = ()
    #: Seconds of film by which its progress begins: its loudness was measured before.
    work_done: float = 0.0

    @classmethod
    def of(cls, media: Media) -> Film:
        """Return the film that is its source from end to end, and nothing else."""
        scene = Scene(media, Fraction(0), None, Fraction(0))
        return cls((scene,), scene)

    @property
    def media(self) -> Media:
        """The lecture's source, whose size, rate, tracks and languages the film has."""
        return self.lecture.media

    @property
    def duration(self) -> float:
        """Seconds, as far as the sources' headers tell."""
        return float(self.scenes[-1].at + self.scenes[-1].length)

    @property
    def has_sound(self) -> bool:
        return any(scene.media.audio for scene in self.scenes)

    @property
    def main_audio(self) -> AudioTrack:
        """The lecture's default track; where only credits are heard, one that stands for it."""
        return self.media.audio or AudioTrack(-1, RATE, 2, None)

    @property
    def layout(self) -> str:
        """Of the sound; a microphone stays mono unless the credits are not."""
        heard = [scene.media.audio for scene in self.scenes if scene.media.audio]
        layouts = {track.output_layout for track in (*heard, *self.media.other_audio)}
        return "mono" if layouts == {"mono"} else "stereo"

    @property
    def can_be_divided(self) -> bool:
        """Whether each picture comes of one frame of one source, and all sound of one track."""
        video = self.media.video
        if video is None or video.begins - self.media.origin > PATIENCE:
            return False
        is_simple = video.fields == "progressive" and video.keep_one_in == 1
        return is_simple and len(self.scenes) == 1 and not self.media.other_audio

    @property
    def is_dressed(self) -> bool:
        return len(self.scenes) > 1 or self.lecture.watermark is not None

    @property
    def chapters(self) -> tuple[Chapter, ...]:
        """The lecture's chapters at their times in the film."""
        scene = self.lecture
        first, last = scene.at, scene.at + scene.length
        shifted = (
            replace(
                chapter,
                start=max(chapter.start - scene.start + scene.at, first),
                end=min(chapter.end - scene.start + scene.at, last),
            )
            for chapter in self.media.chapters
        )
        whole = scene.start == 0 and scene.end is None
        return tuple(c for c in shifted if c.end - c.start >= (0 if whole else _SHORTEST_CHAPTER))


def film_of(path: Path, options: EncodeOptions, settings: MediaSettings = DEFAULTS) -> Film:
    """Look into the source and into the credits, and lay them out.

    :raises BadSource: one of them can't be used, or nothing is left after the cut.
    """
    media = probe(path, settings)
    start, end = _cut(media, options)
    around, notes = {}, []
    for place in ("opening", "ending"):
        if file := getattr(options.dressing, place):
            around[place] = probe(file, settings)
            if not (media.video and around[place].video):
                notes.append(f"the {place} was left out: {'it' if media.video else 'the lecture'} has no pictures")
                del around[place]
    watermark = options.dressing.watermark
    if watermark and not media.video:
        notes.append("the watermark was left out: the lecture has no pictures")
        watermark = None
    scenes, at = [], Fraction(0)
    if "opening" in around:
        scenes.append(_credit(around["opening"], at))
        at += scenes[-1].length
    if end is None and "ending" in around:
        end = _whole_samples(media.duration)
    lecture = Scene(media, start, end, at, watermark)
    scenes.append(lecture)
    if "ending" in around:
        scenes.append(_credit(around["ending"], at + lecture.length))
    return Film(tuple(scenes), lecture, tuple(notes))


def _cut(media: Media, options: EncodeOptions) -> tuple[Fraction, Fraction | None]:
    start = Fraction(str(options.cut_start))
    end = Fraction(str(options.cut_end)) if options.cut_end else None
    if start >= media.duration:
        problem = f"the cut begins at second {options.cut_start:g}, and {media.path} ends at {media.duration:.1f}"
        raise BadSource(problem, remedy="cut it elsewhere", path=str(media.path))
    if end is not None and end >= media.duration:
        end = None
    return start, end


def _credit(media: Media, at: Fraction) -> Scene:
    return Scene(media, Fraction(0), _whole_samples(media.duration), at, fit=True)


def _whole_samples(seconds: float) -> Fraction:
    """Scenes meet between two samples."""
    return Fraction(round(seconds * RATE), RATE)


def shown_notes(film: Film) -> Iterator[str]:
    """Yield what is to be said of the sources and of what was left out."""
    for scene in film.scenes:
        yield from scene.media.notes
    yield from film.notes
