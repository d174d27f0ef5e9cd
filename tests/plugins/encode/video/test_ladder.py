from __future__ import annotations

from fractions import Fraction

import pytest

from plugins.encode.profiles import LECTURE, POD, Profile
from plugins.encode.source.video_track import Colour, VideoTrack
from plugins.encode.video.ladder import level_for, renditions_for, shrunk_notes


def track(width: int, height: int, rate: int = 25) -> VideoTrack:
    return VideoTrack(0, width, height, 0, Fraction(rate), Fraction(1, 12_800), Colour(2, 2, 2))


@pytest.mark.parametrize(
    ("source", "profile", "sizes"),
    [
        ((1920, 1080), POD, ["640x360", "1280x720", "1920x1080"]),
        ((1280, 720), POD, ["640x360", "1280x720"]),
        ((3840, 2160), POD, ["640x360", "1280x720", "1920x1080"]),
        ((854, 480), POD, ["640x360"]),
        ((426, 240), POD, ["640x360"]),
        ((426, 240), LECTURE, ["426x240"]),
        ((427, 241), LECTURE, ["426x240"]),
        ((1080, 1920), POD, ["202x360", "406x720", "608x1080"]),
        ((1919, 1079), POD, ["640x360", "1280x720"]),
        ((1024, 768), POD, ["480x360", "960x720"]),
        ((8192, 64), POD, ["16384x128"]),
        ((8192, 64), LECTURE, ["8192x64"]),
        ((30_000, 1080), POD, ["10000x360", "16334x588"]),
        ((20_000, 2), POD, ["16384x2"]),
    ],
)
def test_each_rung_that_the_source_fills_comes_out_even_and_in_its_aspect(
    source: tuple[int, int], profile: Profile, sizes: list[str]
) -> None:
    renditions = renditions_for(track(*source), profile)
    assert [f"{rendition.width}x{rendition.height}" for rendition in renditions] == sizes


@pytest.mark.parametrize(
    ("width", "height", "rate", "refs", "level"),
    [
        (640, 360, 25, 5, "3.0"),
        (640, 360, 60, 5, "3.1"),
        (1280, 720, 25, 2, "3.1"),
        (1280, 720, 50, 2, "3.2"),
        (1920, 1080, 25, 1, "4.0"),
        (1920, 1080, 60, 1, "4.2"),
        (1920, 1080, 25, 5, "5.0"),
        (3840, 2160, 30, 1, "5.1"),
        (320, 240, 15, 1, "2.0"),
    ],
)
def test_the_level_is_the_lowest_whose_limits_hold(width: int, height: int, rate: int, refs: int, level: str) -> None:
    assert level_for(width, height, Fraction(rate), refs, 1_000_000) == level


def test_a_high_bit_rate_asks_for_a_higher_level() -> None:
    assert level_for(640, 360, Fraction(25), 5, 16_000_000) == "3.1"


def test_pods_rungs_state_their_true_level_and_keep_pods_reference_frames() -> None:
    options = [rendition.x264_options(POD) for rendition in renditions_for(track(1920, 1080), POD)]
    assert [(option["level"], option["refs"]) for option in options] == [("3.0", "5"), ("3.1", "2"), ("4.0", "1")]


def test_a_rung_that_is_wider_than_an_encoder_takes_is_shrunk_with_a_note() -> None:
    wide = track(30_000, 1080)

    assert [rendition.name for rendition in renditions_for(wide, POD)] == ["360p", "588p"]
    assert len(list(shrunk_notes(wide, POD))) == 2
    assert "1080 lines of a film of 30000x1080 would be wider than the 16384 pixels" in [*shrunk_notes(wide, POD)][-1]
    assert not list(shrunk_notes(track(8192, 64), LECTURE))
