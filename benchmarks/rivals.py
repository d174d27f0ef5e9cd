"""The same work by ffmpeg's command line: as Esup-Pod does it, as well as one command can, and the bare minimum."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Command, Cost, run
from plugins.encode.profiles import POD
from plugins.encode.source.probe import Media
from plugins.encode.video.ladder import Rendition, renditions_for

_FFMPEG = ("ffmpeg", "-hide_banner", "-nostdin")

#: Thumbnails; tiles of the overview of a film of less and of more than 100 seconds; their height.
_THUMBNAILS, _TILES, _MANY_TILES, _TILE_HEIGHT = 3, 10, 100, 90


@dataclass(frozen=True)
class Film:
    """A source and its renditions by profile `pod`."""

    path: Path
    media: Media

    @property
    def renditions(self) -> Sequence[Rendition]:
        assert self.media.video
        return renditions_for(self.media.video, POD)

    @property
    def seconds(self) -> int:
        """Pod's idea of the duration."""
        return int(self.media.duration)

    @property
    def tiles(self) -> int:
        return _MANY_TILES if self.seconds >= _MANY_TILES else _TILES

    @property
    def tile_width(self) -> int:
        assert self.media.video
        return self.media.video.width * _TILE_HEIGHT // self.media.video.height


def amphipod(film: Path, folder: Path, *options: str) -> tuple[str, ...]:
    chosen = [argument for option in options for argument in ("--option", option)]
    program = Path(sys.executable).with_name("amphipod")
    return (str(program), "run", str(film), "--out", str(folder / "out"), "--steps", "encode", *chosen)


def pod(film: Film) -> list[Command]:
    """Esup-Pod 4.1's commands, to the letter (encoding_settings.py, Encoding_video.py), with its default settings."""
    source, start = str(film.path), (*_FFMPEG, "-threads", "0", "-i")
    video = (
        *("-c:v", "libx264", "-preset", "slow", "-profile:v", "high", "-pix_fmt", "yuv420p", "-level", "3"),
        *("-crf", "20", "-sc_threshold", "0", "-force_key_frames", "expr:gte(t,n_forced*1)"),
        *("-c:a", "aac", "-ar", "48000", "-max_muxing_queue_size", "4000"),
    )
    mp4: list[str] = [*start, source]
    hls: list[str] = [*start, source, *video]
    for rendition in film.renditions:
        spec, scale = rendition.spec, f"scale=-2:{rendition.height}"
        caps = ("-maxrate", f"{spec.max_rate // 1000}k", "-bufsize", f"{spec.max_rate // 1000}k")
        sound = f"{spec.audio_rate // 1000}k"
        if spec.mp4:
            mp4 += ("-map", "0:v:0", "-map", "0:a:0", "-vf", scale, *video, *caps, "-b:a", sound)
            mp4 += ("-movflags", "faststart", "-y", "-vsync", "0", f"{rendition.name}.mp4")
        hls += (*video, "-vf", scale, *caps, "-b:a:0", sound)
        hls += ("-hls_playlist_type", "vod", "-hls_time", "2", "-hls_flags", "single_file")
        hls += ("-master_pl_name", f"livestream{rendition.height}.m3u8", "-y", f"{rendition.name}.m3u8")
    small = f"{film.renditions[0].name}.mp4"
    thumbnails = (f"fps=1/({film.seconds}/{_THUMBNAILS})", "-vsync", "vfr", "-y", "thumbnail_%04d.png")
    overview = f"fps=fps=({film.tiles}/{film.seconds}), scale={film.tile_width}x{_TILE_HEIGHT}, tile={film.tiles}x1"
    return [
        ("ffprobe", "-v", "quiet", "-show_format", "-show_streams", "-print_format", "json", "-i", source),
        mp4,
        hls,
        (*start, source, "-vn", "-codec:a", "libmp3lame", "-qscale:a", "2", "-y", "audio_192k.mp3"),
        (*start, small, "-vf", *thumbnails),
        (*start, small, "-vsync", "vfr", "-vf", overview, "-frames:v", "1", "-y", "overview.png"),
    ]


def single(film: Film) -> list[Command]:
    """One command with a decode and an encode of each rendition: split, and tee into MP4 and HLS."""
    command: list[str] = [*_FFMPEG, "-i", str(film.path)]
    names = [rendition.name for rendition in film.renditions]
    graph = [f"[0:v]split={len(names)}" + "".join(f"[in{name}]" for name in names)]
    graph += [f"[in{r.name}]scale=-2:{r.height}:flags=bicubic[{r.name}]" for r in film.renditions]
    graph += [
        f"[{names[0]}]split=3[small][posters][tiles]",
        f"[posters]fps={_THUMBNAILS}/{film.seconds}[posters1]",
        f"[tiles]fps={film.tiles}/{film.seconds},scale={film.tile_width}x{_TILE_HEIGHT},tile={film.tiles}x1[tiles1]",
    ]
    command += ("-filter_complex", ";".join(graph))
    for rendition in film.renditions:
        label = "small" if rendition.name == names[0] else rendition.name
        hls = "hls_playlist_type=vod:hls_time=2:hls_flags=single_file:max_delay=700000"
        outputs = [f"[f=hls:{hls}]{rendition.name}.m3u8"]
        if rendition.spec.mp4:
            outputs.append(f"[f=mp4:movflags=faststart]{rendition.name}.mp4")
        command += ("-map", f"[{label}]", "-map", "0:a:0", *x264(rendition), *_aac(rendition))
        command += ("-flags", "+global_header", "-f", "tee", "-y", "|".join(outputs))
    command += ("-map", "0:a:0", *_MP3, "-y", "audio_192k.mp3")
    command += ("-map", "[posters1]", "-vsync", "vfr", "-y", "thumbnail_%04d.png")
    command += ("-map", "[tiles1]", "-frames:v", "1", "-y", "overview.png")
    return [command]


def floor(film: Film, folder: Path) -> dict[str, Cost]:
    """Measure what can't be left out, each by itself: decode and scale, x264 of each rendition, AAC and MP3.

    An encoder's cost is that of a command less that of the same command without the encoder. Nothing is written.
    """
    start = (*_FFMPEG, "-i", str(film.path))

    def cost(*arguments: str) -> Cost:
        return run((*start, *arguments), folder)

    def less(with_it: Cost, without: Cost) -> Cost:
        return Cost(with_it.cpu - without.cpu, with_it.wall - without.wall, with_it.memory)

    names = [rendition.name for rendition in film.renditions]
    graph = [f"[0:v]split={len(names)}" + "".join(f"[in{name}]" for name in names)]
    graph += [f"[in{r.name}]scale=-2:{r.height}:flags=bicubic[{r.name}]" for r in film.renditions]
    outputs = [argument for name in names for argument in ("-map", f"[{name}]", "-f", "null", "-")]
    costs = {"decode and scale": cost("-an", "-filter_complex", ";".join(graph), *outputs)}
    for rendition in film.renditions:
        picture = ("-an", "-vf", f"scale=-2:{rendition.height}:flags=bicubic")
        without = cost(*picture, "-f", "null", "-")
        costs[f"x264 {rendition.name}"] = less(cost(*picture, *x264(rendition), "-f", "null", "-"), without)
    sound = cost("-vn", "-ar", "48000", "-f", "null", "-")
    costs["decode sound"] = sound
    for rendition in film.renditions:
        encoded = cost("-vn", *_aac(rendition), "-f", "null", "-")
        costs[f"AAC {rendition.spec.audio_rate // 1000}k"] = less(encoded, sound)
    costs["MP3"] = less(cost("-vn", "-ar", "48000", *_MP3, "-f", "null", "-"), sound)
    return costs


def x264(rendition: Rendition) -> tuple[str, ...]:
    """The options that profile `pod` gives to x264, as the command line writes them."""
    options = {"profile:v" if name == "profile" else name: v for name, v in rendition.x264_options(POD).items()}
    keyframes = f"expr:gte(t,n_forced*{POD.keyframe_seconds:g})"
    flags = [argument for name, value in options.items() for argument in (f"-{name}", value)]
    return ("-c:v", "libx264", "-pix_fmt", "yuv420p", *flags, "-force_key_frames", keyframes)


def _aac(rendition: Rendition) -> tuple[str, ...]:
    return ("-c:a", "aac", "-ar", "48000", "-b:a", str(rendition.spec.audio_rate))


_MP3 = ("-c:a", "libmp3lame", "-q:a", "2")
