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
def lane(tmp_path: Path) -> Iterator[RenditionEncoder]:
    def open_package(rendition: Rendition, video: VideoStream) -> Package:
        return Package(tmp_path, rendition, video, None, segment_seconds=2)

    lane = RenditionEncoder(renditions_for(TRACK, POD)[0], TRACK, POD, 1, open_package)
    yield lane
    lane.abandon()


def frame(number: int) -> av.VideoFrame:
    frame = av.VideoFrame(640, 360)
    frame.pts, frame.time_base = number, Fraction(1, 25)
    return frame


def feed(lane: RenditionEncoder, frames: int) -> None:
    for number in range(frames):
        lane.put(frame(number))


def test_a_lane_turns_frames_into_files(lane: RenditionEncoder, tmp_path: Path) -> None:
    lane.start()
    feed(lane, frames=30)
    lane.put(None)
    while not lane.wait():
        pass
    assert lane.frames == 30
    assert (tmp_path / "360p.m3u8").exists()


def test_the_error_of_a_dead_encoder_reaches_whoever_feeds_it(lane: RenditionEncoder) -> None:
    lane.start()
    lane.put([EncodedAudio(b"x", 0, 1024)])  # This lane has no track for sound.
    begun = time.monotonic()
    with pytest.raises(KeyError, match="audio"):
        feed(lane, frames=1000)
    assert time.monotonic() - begun < 1
    with pytest.raises(KeyError, match="audio"):
        lane.wait()


def test_a_lane_that_waits_for_frames_can_be_abandoned(lane: RenditionEncoder) -> None:
    lane.start()
    lane.put(frame(0))
    lane.abandon()
    assert not lane.is_alive()


def test_a_lane_with_a_full_queue_can_be_abandoned(lane: RenditionEncoder) -> None:
    feed(lane, frames=12)
    lane.start()
    lane.abandon()
    assert not lane.is_alive()


def test_a_lane_that_never_ran_leaves_no_thread(lane: RenditionEncoder) -> None:
    lane.abandon()
    assert lane not in threading.enumerate()
