"""Threads must end together: a dead encoder stops the decoder at once, and a dead decoder every encoder."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.video.stream import VideoStream

from plugins.encode.audio.encoders import EncodedAudio
from plugins.encode.output.package import Package
from plugins.encode.profiles import POD
from plugins.encode.source.video_track import Colour, VideoTrack
from plugins.encode.video.encoder import RenditionEncoder
from plugins.encode.video.ladder import Rendition, renditions_for

TRACK = VideoTrack(0, 640, 360, 0, Fraction(25), Fraction(1, 25), Colour(2, 2, 2))


@pytest.fixture
def encoder(tmp_path: Path) -> Iterator[RenditionEncoder]:
    def open_package(rendition: Rendition, video: VideoStream) -> Package:
        return Package(tmp_path, rendition, video, None, segment_seconds=2)

    encoder = RenditionEncoder(renditions_for(TRACK, POD)[0], TRACK, POD, 1, open_package)
    yield encoder
    encoder.abandon()


def frame(number: int) -> av.VideoFrame:
    frame = av.VideoFrame(640, 360)
    frame.pts, frame.time_base = number, Fraction(1, 25)
    return frame


def feed(encoder: RenditionEncoder, frames: int) -> None:
    for number in range(frames):
        encoder.put(frame(number))


def test_an_encoder_turns_frames_into_files(encoder: RenditionEncoder, tmp_path: Path) -> None:
    encoder.start()
    feed(encoder, frames=30)
    encoder.put(None)
    while not encoder.wait():
        pass
    assert encoder.frames == 30
    assert (tmp_path / "360p.m3u8").exists()


def test_the_error_of_a_dead_encoder_reaches_whoever_feeds_it(encoder: RenditionEncoder) -> None:
    encoder.start()
    encoder.put([EncodedAudio(b"x", 0, 1024)])  # This encoder has no track for sound.
    begun = time.monotonic()
    with pytest.raises(KeyError, match="audio"):
        feed(encoder, frames=1000)
    assert time.monotonic() - begun < 1
    with pytest.raises(KeyError, match="audio"):
        encoder.wait()


def test_a_lane_that_waits_for_frames_can_be_abandoned(encoder: RenditionEncoder) -> None:
    encoder.start()
    encoder.put(frame(0))
    encoder.abandon()
    assert not encoder.is_alive()


def test_a_lane_with_a_full_queue_can_be_abandoned(encoder: RenditionEncoder) -> None:
    feed(encoder, frames=8)
    encoder.start()
    encoder.abandon()
    assert not encoder.is_alive()


def test_a_lane_that_never_ran_leaves_no_thread(encoder: RenditionEncoder) -> None:
    encoder.abandon()
    assert encoder not in threading.enumerate()
