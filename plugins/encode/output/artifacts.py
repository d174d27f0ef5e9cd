"""What was made, told: the master playlist, the manifests, and one artifact a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import Artifact, StepOutput
from plugins.encode.film import shown_notes
from plugins.encode.output import dash
from plugins.encode.output.chapters import write_chapters
from plugins.encode.output.hls import AudioChoice, Variant, bandwidths, master, settle
from plugins.encode.output.info_video import Made, pod_manifest
from plugins.encode.output.thumbnails import Stills, save_cover
from plugins.encode.profiles import Opus
from plugins.encode.quality.reached import reached
from plugins.encode.quality.report import missed, report
from plugins.encode.video.ladder import shrunk_notes
from plugins.media.opener import grown

if TYPE_CHECKING:
    from core import Context, Job
    from plugins.encode.film import Film
    from plugins.encode.options import EncodeOptions
    from plugins.encode.output.package import Encoded
    from plugins.encode.output.subtitles import SubtitleReader
    from plugins.encode.profiles import Profile, Voice
    from plugins.encode.quality.aim import Aim
    from plugins.encode.source.probe import AudioTrack, Media
    from plugins.encode.transcode import Transcoded

AAC_LC = "mp4a.40.2"

_SEGMENT_TYPES = {".ts": "video/mp2t", ".m4s": "video/mp4"}


def publish(
    job: Job,
    film: Film,
    options: EncodeOptions,
    done: Transcoded,
    stills: Stills | None,
    subtitles: Sequence[SubtitleReader],
    audio: Sequence[Path],
    context: Context,
    start: float,
    aims: Sequence[Aim] = (),
) -> StepOutput:
    """Write what is known only once all is encoded, and name every file.

    :param start: when the encode began, seconds since 1970.
    :param aims: what is known of the renditions from samples of the film.
    """
    output, media, lost = context.output, film.media, []
    thumbnails = stills.thumbnails if stills else ()
    if media.cover is not None:
        try:
            thumbnails = save_cover(media, output, options)
        except ValueError as error:
            lost.append(f"the cover can't be read as a picture ({error}) and was left out")
    overview = tuple(file for file in (stills.sprite, stills.index) if file) if stills else ()
    made = Made(done.renditions, audio, thumbnails, overview, subtitles)
    if done.renditions:
        begins = {encoded.playlist: encoded.begin for encoded in done.renditions}
        settle(begins | {track.playlist: Fraction(0) for track in done.audio_tracks}, done.duration)
        variants = [_variant(encoded, done, options.ladder, has_audio=bool(audio)) for encoded in done.renditions]
        (output / "livestream.m3u8").write_text(master(variants, _audio_choices(film, options.ladder, done)))
        if options.ladder.segments == "cmaf":
            (output / "manifest.mpd").write_text(_dash(film, options.ladder, done))
    if film.chapters:
        write_chapters(film.chapters, output / "chapters.vtt")
    info = pod_manifest(film, options, made, done.duration, context.published, job.attributes, start)
    (output / "info_video.json").write_text(info)
    found = reached(aims, done.renditions, film, context)
    return StepOutput(
        artifacts=tuple(_artifacts(made, film, done, output)),
        facts=_facts(film, done) | report(aims, done.renditions, found),
        notes=(
            *shown_notes(film),
            *done.notes,
            *lost,
            *missed(aims, found),
            *_track_notes(media, options),
            *grown(media.path, media.size),
        ),
    )


def _variant(encoded: Encoded, done: Transcoded, profile: Profile, *, has_audio: bool) -> Variant:
    peak, mean = bandwidths(encoded.playlist.read_text())
    voice = encoded.rendition.spec.voice
    if profile.segments == "cmaf" and has_audio:
        track = next(made for made in done.audio_tracks if _is_opus(made.voice) == _is_opus(voice))
        beside = bandwidths(track.playlist.read_text())
        peak, mean = peak + beside[0], mean + beside[1]
    return Variant(
        uri=encoded.playlist.name,
        bandwidth=peak,
        average_bandwidth=mean,
        width=encoded.rendition.width,
        height=encoded.rendition.height,
        frame_rate=done.frame_rate,
        codecs=_codecs(encoded, has_audio=has_audio),
        group=_group(voice),
    )


def _is_opus(voice: Voice) -> bool:
    return isinstance(voice, Opus)


def _group(voice: Voice) -> str:
    return "opus" if _is_opus(voice) else "audio"


def _audio_choices(film: Film, profile: Profile, done: Transcoded) -> list[AudioChoice]:
    """Offer the tracks by their titles or languages, if there is a choice; no two by the same name."""
    if not done.audio_tracks:
        return []
    beside = [(made.track, made.playlist.name, _group(made.voice)) for made in done.audio_tracks]
    offered = beside if profile.segments == "cmaf" else [(film.main_audio, None, "audio"), *beside]
    names = _names([film.main_audio, *film.media.other_audio])
    return [
        AudioChoice(names[track.index], track.language, uri, is_default=track == film.main_audio, group=group)
        for track, uri, group in offered
    ]


def _names(tracks: Sequence[AudioTrack]) -> dict[int, str]:
    names: dict[int, str] = {}
    for number, track in enumerate(tracks, start=1):
        name = track.title or track.language or f"{number}"
        names[track.index] = f"{name} ({number})" if name in names.values() else name
    return names


def _dash(film: Film, profile: Profile, done: Transcoded) -> str:
    renditions = [
        dash.DashTrack(
            encoded.playlist,
            encoded.segments,
            encoded.codec,
            encoded.rendition.width,
            encoded.rendition.height,
            done.frame_rate.limit_denominator(1001),
        )
        for encoded in done.renditions
    ]
    sounds = [
        dash.DashTrack(
            made.playlist, made.segments, _sound_codec(made.voice), language=made.track.language, label=choice.name
        )
        for made, choice in zip(done.audio_tracks, _audio_choices(film, profile, done), strict=True)
    ]
    return dash.manifest(renditions, sounds, done.duration)


def _codecs(encoded: Encoded, *, has_audio: bool) -> str:
    return f"{encoded.codec},{_sound_codec(encoded.rendition.spec.voice)}" if has_audio else encoded.codec


def _sound_codec(voice: Voice) -> str:
    return "opus" if _is_opus(voice) else AAC_LC


def _artifacts(made: Made, film: Film, done: Transcoded, output: Path) -> Iterator[Artifact]:
    for encoded in made.renditions:
        yield from _rendition(encoded, done, has_audio=bool(made.audio))
    if (output / "manifest.mpd").exists():
        yield _artifact("master", output / "manifest.mpd", "application/dash+xml")
    if made.renditions:
        yield _artifact("master", output / "livestream.m3u8", "application/vnd.apple.mpegurl")
    yield from _sounds(made, film, done)
    if film.chapters:
        yield _artifact("chapters", output / "chapters.vtt", "text/vtt")
    for path in made.thumbnails:
        yield _artifact("thumbnail", path, f"image/{path.suffix[1:]}", **_size(path))
    for path in made.overview:
        if path.suffix == ".vtt":
            yield _artifact("sprite_index", path, "text/vtt")
        else:
            yield _artifact("sprite", path, f"image/{path.suffix[1:]}", **_size(path))
    for reader in made.subtitles:
        yield _artifact("subtitle", reader.path, "text/vtt", language=reader.track.language)
    yield _artifact("info", output / "info_video.json", "application/json")


def _rendition(encoded: Encoded, done: Transcoded, *, has_audio: bool) -> Iterator[Artifact]:
    about: dict[str, Any] = {
        "width": encoded.rendition.width,
        "height": encoded.rendition.height,
        "duration": done.duration,
        "frames": encoded.frames,
        "codecs": _codecs(encoded, has_audio=has_audio),
    }
    if encoded.mp4:
        yield _artifact("rendition", encoded.mp4, "video/mp4", done.duration, **about)
    yield _artifact("playlist", encoded.playlist, "application/vnd.apple.mpegurl", **about)
    yield _artifact("segment", encoded.segments, _SEGMENT_TYPES[encoded.segments.suffix], done.duration, **about)


def _sounds(made: Made, film: Film, done: Transcoded) -> Iterator[Artifact]:
    language = film.media.audio.language if film.media.audio else None
    for path in made.audio:
        kind = ("audio/mpeg", "mp3") if path.suffix == ".mp3" else ("audio/mp4", AAC_LC)
        yield _artifact(
            "audio", path, kind[0], done.duration, duration=done.duration, codecs=kind[1], language=language
        )
    for other in done.audio_tracks:
        about: dict[str, Any] = {
            "language": other.track.language,
            "codecs": _sound_codec(other.voice),
            "duration": done.duration,
        }
        yield _artifact("audio_playlist", other.playlist, "application/vnd.apple.mpegurl", **about)
        kind_of_segment = _SEGMENT_TYPES[other.segments.suffix].replace("video/mp4", "audio/mp4")
        yield _artifact("segment", other.segments, kind_of_segment, done.duration, **about)


def _artifact(kind: str, path: Path, media_type: str, seconds: float = 0.0, **about: Any) -> Artifact:
    """Describe a file; its bit rate is given for what lasts `seconds`."""
    bit_rate = round(path.stat().st_size * 8 / seconds) if seconds else None
    return Artifact(kind=kind, path=path.name, media_type=media_type, bit_rate=bit_rate, **about)


def _size(path: Path) -> dict[str, int]:
    from PIL import Image

    with Image.open(path) as image:
        return {"width": image.width, "height": image.height}


def _facts(film: Film, done: Transcoded) -> dict[str, Any]:
    media = film.media
    facts: dict[str, Any] = {
        "duration": done.duration,
        "has_audio": film.has_sound,
        "has_video": media.video is not None,
    }
    if done.missing:
        facts["missing_seconds"] = {name: round(seconds, 1) for name, seconds in done.missing.items()}
    if media.video:
        facts |= {
            "width": media.video.width,
            "height": media.video.height,
            "frame_rate": round(float(done.frame_rate), 3),
        }
    return facts


def _track_notes(media: Media, options: EncodeOptions) -> Iterator[str]:
    if media.video:
        yield from shrunk_notes(media.video, options.ladder)
    for track in media.subtitles:
        if not track.is_text:
            yield f"subtitle track {track.index} is made of pictures, not text, and was left out"
