"""Two takes of one talk, presenter and presentation, composed to one film: the source of the step `encode`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av

from core import Artifact, BadSource, StepOutput
from core.errors import BadCall
from plugins.encode.audio.encoders import AacEncoders
from plugins.encode.audio.track import Sound
from plugins.encode.engine import output_errors
from plugins.encode.film import Scene
from plugins.encode.output.checks import check_mp4, discard
from plugins.encode.output.names import film_name
from plugins.encode.profiles import Profile, RenditionSpec
from plugins.encode.source.probe import probe
from plugins.encode.source.video_track import FASTEST, Colour, VideoTrack
from plugins.encode.studio.layout import Stage, Take
from plugins.encode.transcode import wait_for
from plugins.encode.video.encoder import RenditionEncoder
from plugins.encode.video.ladder import Rendition, level_for
from plugins.encode.video.timeline import Timeline
from plugins.media.settings import DEFAULTS, MediaSettings

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

    from core import Context, Job, Source
    from plugins.encode.source.probe import Media
    from plugins.encode.studio.options import ComposeOptions

#: The film is encoded once more, so it is given bits rather than time.
_SOUND_RATE = 192_000
_MAX_RATE = 40_000_000

#: Reference frames of the presets that are of use here, at most.
_REFS = 5

_BT709 = Colour(1, 1, 1)


def compose_takes(
    job: Job,
    sources: Sequence[Source],
    options: ComposeOptions,
    context: Context,
    settings: MediaSettings = DEFAULTS,
) -> StepOutput:
    """Write the film into `context.output`.

    :raises BadSource: a take can't be used, or nothing is left after the clip.
    """
    takes = {source.role: probe(source.path, settings) for source in sources}
    if len(takes) < len(sources):
        raise BadCall(f"two takes are called {sources[0].role}", remedy="call one presenter, one presentation")
    # By role, as Esup-Pod has it, whatever the job's order: what lies on the left, or below, comes first.
    order = sorted(takes, key=lambda role: role == "presenter")
    shown = [takes[role] for role in order if takes[role].video and _is_shown(role, len(takes), options)]
    if not shown:
        raise BadSource(f"no {options.layout} with pictures was given", remedy="choose another layout")
    heard = next((media for media in (takes.get("presenter"), *takes.values()) if media and media.audio), None)
    scenes = _common_clock(shown, heard, options)
    context.lasts(max(float(scene.media.duration) for scene in scenes.values()))
    name = film_name(job)
    with output_errors(context.output):
        track, seconds, frames, lost = _write(scenes, shown, heard, options, context, context.output / name)
    artifact = Artifact(
        kind="film",
        path=name,
        media_type="video/mp4",
        width=track.width,
        height=track.height,
        duration=seconds,
        frames=frames,
    )
    return StepOutput(
        artifacts=(artifact,),
        facts={"duration": seconds, "has_audio": heard is not None},
        notes=(*(note for media in takes.values() for note in media.notes), *lost),
    )


def _is_shown(role: str, count: int, options: ComposeOptions) -> bool:
    return count == 1 or options.layout not in {"presenter", "presentation"} or role == options.layout


def _common_clock(shown: Sequence[Media], heard: Media | None, options: ComposeOptions) -> dict[Path, Scene]:
    """Lay the takes side by side: time stamps that are equal were taken at one time."""
    medias = {media.path: media for media in (*shown, *([heard] if heard else []))}
    origin = min(media.origin for media in medias.values())
    begin = Fraction(str(options.clip_start))
    last = max(media.origin - origin + Fraction(media.duration) for media in medias.values())
    end = min(Fraction(str(options.clip_end)), last) if options.clip_end else last
    if begin >= end:
        path = str(shown[0].path)
        problem = f"the clip begins at second {options.clip_start:g}, and the takes end at {float(last):.1f}"
        raise BadSource(problem, remedy="clip it elsewhere", path=path)
    return {
        path: Scene(media, begin + origin - media.origin, end + origin - media.origin, Fraction(0))
        for path, media in medias.items()
    }


def _write(
    scenes: Mapping[Path, Scene],
    shown: Sequence[Media],
    heard: Media | None,
    options: ComposeOptions,
    context: Context,
    path: Path,
) -> tuple[VideoTrack, float, int, list[str]]:
    """Compose picture after picture and encode the film.

    :return: what it is like, its seconds, its frames, and what is to be said of losses.
    """
    tracks = [media.video for media in shown if media.video]
    stage = Stage(options.layout, tracks)
    rate = max(track.rate for track in tracks)
    rate = rate if rate <= FASTEST else Fraction(FASTEST)
    clock = 1 / rate
    film = VideoTrack(0, *stage.size, turn=0, rate=rate, time_base=clock, colour=_BT709)
    # No rung of a ladder, so a ladder's limits don't bind it: takes may be small.
    spec = RenditionSpec.model_construct(
        height=film.height, crf=options.crf, max_rate=_MAX_RATE, audio_rate=_SOUND_RATE
    )
    profile = Profile(renditions=(spec,), preset=options.preset, keyframe_seconds=2)
    level = level_for(film.width, film.height, rate, _REFS, _MAX_RATE)
    length = next(iter(scenes.values())).length
    with ExitStack() as stack:
        layout = heard.audio.output_layout if heard and heard.audio else "stereo"
        encoders = AacEncoders([_SOUND_RATE] if heard else [], layout)
        encoder = RenditionEncoder(
            Rendition(path.stem, film.width, film.height, rate, level, spec),
            film,
            profile,
            context.threads,
            lambda _, video: FilmFile(path, video, encoders.template(_SOUND_RATE) if heard else None),
        )
        stack.callback(encoder.abandon)
        encoder.start()
        sound = Sound(scenes[heard.path], encoders, [(_SOUND_RATE, encoder.put)], []) if heard else None
        takes = [
            Take(scenes[media.path], size, sound if heard == media else None, context)
            for media, size in zip(shown, stage.sizes, strict=True)
        ]
        if heard and heard not in shown:
            takes.append(Take(scenes[heard.path], None, sound, context))
        timeline = Timeline(profile.keyframe_seconds, rate, clock)
        for number in range(max(round(length / clock), 1)):
            frames = [frame for take in takes if (frame := take.at(number * clock))]
            picture = stage.compose(frames, number, clock)
            timeline.stamp(picture)
            encoder.put(picture)
            context.progress(timeline.end, float(length))
        for take in takes:
            take.finish()
        if sound:
            sound.finish()
        encoder.put(None)
        wait_for([encoder], context)
        lost = [f"{take.path.name}: {note}" for take in takes for note in take.reading.notes]
        return film, timeline.end, encoder.frames, lost


class FilmFile:
    """The MP4 that an encoder writes."""

    def __init__(self, path: Path, video: VideoStream, audio: Any) -> None:
        self._path = path
        self._container = av.open(str(path), "w", format="mp4", container_options={"movflags": "+faststart"})
        self._streams: dict[str, Any] = {"video": self._container.add_stream_from_template(video, opaque=False)}
        if audio:
            self._streams["audio"] = self._container.add_stream_from_template(audio)
        self._container.start_encoding()

    def mux(self, packets: Iterable[Packet[Any]], track: str) -> None:
        for packet in packets:
            packet.stream = self._streams[track]
            self._container.mux_one(packet)

    def close(self) -> None:
        self._container.close()
        check_mp4(self._path)

    def abandon(self) -> None:
        discard(self._container)
