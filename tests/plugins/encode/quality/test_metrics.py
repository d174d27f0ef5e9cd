from __future__ import annotations

import av
import pytest

from plugins.encode.quality.metrics import Comparison, Score, pooled


def score(*differences: int) -> Score:
    comparison = Comparison()
    for difference in differences:
        frames = []
        for shift in (0, difference):
            frame = av.VideoFrame(64, 64, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes((number * 7 + shift) % 200 for number in range(plane.buffer_size)))
            frames.append(frame)
        comparison.add(*frames)
    return comparison.score


def test_equal_pictures_score_best_and_worse_ones_less() -> None:
    assert score(0, 0) == Score(100, 100)
    assert score(1).xpsnr > score(4).xpsnr
    assert score(1).ssim > score(4).ssim


def test_a_bad_picture_is_not_made_good_by_better_ones() -> None:
    assert pooled([Score(10, 30), Score(40, 60)]).ssim == pytest.approx(13, abs=0.1)
    assert pooled([Score(10, 30), Score(40, 60)]).xpsnr == pytest.approx(35.7, abs=0.1)


def test_as_good_is_as_good_by_both_measures() -> None:
    assert Score(10, 30).as_good_as(Score(10, 30))
    assert not Score(10, 29.8).as_good_as(Score(10, 30), tolerance=0.1)
    assert Score(9.95, 30).as_good_as(Score(10, 30), tolerance=0.1)
