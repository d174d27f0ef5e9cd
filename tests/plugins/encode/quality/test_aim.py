from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import plugins.encode
from core import Division, Source
from core.testing import fake_context, fake_job
from plugins.encode.film import film_of
from plugins.encode.options import EncodeOptions
from plugins.encode.quality.aim import Aim, aim_at
from plugins.encode.quality.samples import places

LECTURE = EncodeOptions.model_validate({"profile": "lecture", "quality": "pod"})


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory, ffmpeg: Callable[..., None]) -> Path:
    path = tmp_path_factory.mktemp("noisy") / "noisy.mp4"
    picture = "testsrc2=size=192x108:rate=25:duration=12,noise=alls=9:allf=t"
    ffmpeg("-f", "lavfi", "-i", picture, "-c:v", "libx264", "-preset", "ultrafast", "-crf", "18", path)
    return path


def aims(source: Path, folder: Path, options: EncodeOptions = LECTURE, **context: Any) -> tuple[Aim, ...]:
    return aim_at(film_of(source, options), options.ladder, fake_context(folder / "job", source, **context))


@pytest.mark.long
def test_the_same_film_has_the_same_aim_whatever_the_threads(noisy: Path, tmp_path: Path) -> None:
    found = [aims(noisy, tmp_path / str(threads), threads=threads)[0] for threads in (1, 2)]
    # Not the last decimals: x264's macroblock tree differs from run to run.
    assert found[0].crf == pytest.approx(found[1].crf, abs=0.5)
    assert found[0].target.xpsnr == pytest.approx(found[1].target.xpsnr, abs=0.05)
    assert found[0].expected.as_good_as(found[0].target, 0.1)


@pytest.mark.long
def test_every_part_is_told_the_crf_that_was_found_once(noisy: Path, tmp_path: Path) -> None:
    options = {"profile": "lecture", "quality": "pod", "part_seconds": 6}
    context = fake_context(tmp_path / "divide", noisy)
    division = plugins.encode.plugin.divide(Source(path=noisy), options, context)
    told = [part.facts["aims"] for part in Division.model_validate_json(division.to_json()).parts]
    assert len(told) == 2
    assert told[0] == told[1]
    assert [aim["rendition"] for aim in told[0]] == ["108p"]
    assert json.dumps(told[0])


@pytest.mark.long
def test_what_samples_expect_is_reached_and_what_is_not_is_told(noisy: Path, tmp_path: Path) -> None:
    told = {}
    # Esup-Pod's, and a number that no cap of 1 Mb/s reaches on such noise.
    for quality in ("pod", 60):
        context = fake_context(tmp_path / str(quality), noisy)
        options = {"profile": "lecture", "quality": quality}
        output = plugins.encode.plugin.encode(fake_job(noisy), Source(path=noisy), options, context)
        told[quality] = output
    for measure in ("ssim", "xpsnr"):
        figures = told["pod"].facts["quality"]["renditions"]["108p"][measure]
        # At the rate cap, where the fill of its buffer is guessed.
        assert figures["reached"] == pytest.approx(figures["expected"], abs=0.6)
    (note,) = [note for note in told[60].notes if "below its aim" in note]
    assert note.startswith("108p is ")


@pytest.mark.long
def test_a_better_picture_costs_a_lower_crf(noisy: Path, tmp_path: Path) -> None:
    one, other = (
        aims(noisy, tmp_path / str(quality), EncodeOptions.model_validate({"profile": "lecture", "quality": quality}))
        for quality in (34, 40)
    )
    assert one[0].crf > other[0].crf
    assert one[0].expected.xpsnr == pytest.approx(34, abs=0.5)


def test_samples_lie_apart_and_within_the_film(noisy: Path, clip: Callable[..., Path]) -> None:
    found = places(film_of(noisy, LECTURE))
    assert len(found) == 2
    assert 0 <= found[0] <= found[1] - 1 <= 10
    assert found == places(film_of(noisy, LECTURE))
    assert len(places(film_of(clip("a.mp4", seconds=1), LECTURE))) == 1


def test_a_crf_or_off_needs_no_samples(noisy: Path, tmp_path: Path) -> None:
    for asked in ({"crf": 20}, {"quality": "off"}):
        options = EncodeOptions.model_validate({"profile": "lecture"} | asked)
        assert aims(noisy, tmp_path / str(asked), options) == ()
