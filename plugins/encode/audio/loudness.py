"""How loud a recording is (EBU R 128), and by how much it is to be louder or softer: the sound decoded once before."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import av
from av.filter import Graph

from plugins.encode.film import Film, Scene
from plugins.encode.source.reader import open_scene, scene_packets
from plugins.media.decoding import Damaged, damage, decode

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame

    from core import Context
    from plugins.encode.source.probe import AudioTrack
from plugins.encode.audio.gain import pulled

#: LUFS that R 128's gates leave when there was only silence.
_SILENCE = -70.0

#: Decibels by which sound is changed at most: what needs more is noise.
_MOST = 30.0

#: Work of measuring a second of sound, in seconds of film encoded.
_WORK = 0.02


def levelled(film: Film, target: int, context: Context) -> Film:
    """Return the film with the gain of each of its audio tracks set so that it reaches a loudness in LUFS."""
    tracks = [(scene, track) for scene in film.scenes for track in _heard(film, scene)]
    work = film.duration * _WORK * len(tracks)
    gains = {}
    for number, (scene, track) in enumerate(tracks):
        loudness = _measure(scene, track, context)
        gain = max(min(target - loudness, _MOST), -_MOST) if loudness > _SILENCE else 0.0
        gains[scene.media.path, track.index] = round(gain, 2)
        context.progress(work * (number + 1) / len(tracks), film.duration + work)

    def louder(scene: Scene) -> Scene:
        media = scene.media
        changed = [
            replace(track, gain=gains.get((media.path, track.index), 0.0))
            for track in (media.audio, *media.other_audio)
            if track
        ]
        audio, others = (changed[0], tuple(changed[1:])) if changed else (None, ())
        return replace(scene, media=replace(media, audio=audio, other_audio=others))

    scenes = tuple(louder(scene) for scene in film.scenes)
    return replace(film, scenes=scenes, lecture=scenes[film.scenes.index(film.lecture)], work_done=work)


def _heard(film: Film, scene: Scene) -> list[AudioTrack]:
    others = scene.media.other_audio if scene is film.lecture else ()
    return [track for track in (scene.media.audio, *others) if track]


def _measure(scene: Scene, track: AudioTrack, context: Context) -> float:
    """Return the integrated loudness of a scene's sound in LUFS."""
    resampler = av.AudioResampler("flt", track.output_layout, 48_000)
    meter: Graph | None = None
    loudness = _SILENCE
    with open_scene(scene, context, go_there=False) as container:
        for packet in scene_packets(container, scene, [track.index]):
            context.raise_if_cancelled()
            with suppress(Damaged), damage():
                for frame in decode(packet):
                    frame.pts = None  # gaps are not heard
                    for ready in resampler.resample(frame):
                        meter = meter or _meter(ready)
                        meter.push(ready)
                        for measured in pulled(meter):
                            loudness = float(measured.metadata["lavfi.r128.I"])
    return loudness


def _meter(frame: AudioFrame) -> Graph:
    graph = Graph()
    source = graph.add_abuffer(format=frame.format.name, sample_rate=frame.sample_rate, layout=frame.layout.name)
    graph.link_nodes(source, graph.add("ebur128", "metadata=1:framelog=quiet"), graph.add("abuffersink")).configure()
    return graph
