"""Two takes become one film: what lies where, and that a beep in one goes with the flash in the other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import plugins.encode
from core import BadSource, Source, StepOutput
from core.errors import BadCall
from core.testing import fake_context, fake_job, frame_number

Clip = Callable[..., Path]
Encode = Callable[..., Any]
Watch = Callable[[Path], list[tuple[float, Image.Image]]]
Compose = Callable[..., tuple[Path, StepOutput]]

#: A camera of 4:3 at 30 frames a second, and a screen of 16:9 at 10, as browsers write them.
CAMERA = {"width": 480, "height": 360, "rate": 30, "state_duration": False}
SCREEN = {"width": 640, "height": 360, "rate": 10, "audio": False, "state_duration": False}

#: Where they stand side by side.
SCREEN_PLACE, CAMERA_PLACE = (0, 0, 640, 360), (640, 0, 1120, 360)


@pytest.fixture
def compose(tmp_path: Path) -> Compose:
    def run(sources: dict[str, Path], attributes: dict[str, Any] | None = None, **options: Any) -> Any:
        takes = tuple(Source(path=path, role=role) for role, path in sources.items())
        context = fake_context(tmp_path / f"job{len(list(tmp_path.iterdir()))}")
        job = fake_job(takes[0].path, sources=takes, attributes=attributes or {}, steps=("compose", "encode"))
        output = plugins.encode.plugin.compose(job, takes, options, context)
        return context.output / output.artifacts[0].path, output

    return run


@pytest.fixture
def takes(clip: Clip) -> dict[str, Path]:
    return {
        "presenter": clip("presenter.webm", seconds=2, **CAMERA),
        "presentation": clip("presentation.webm", seconds=2, **SCREEN),
    }


def test_side_by_side(takes: dict[str, Path], compose: Compose, watch: Watch, look: Any) -> None:
    """The presentation on the left, though the job names the presenter first."""
    film, output = compose(takes, layout="mid")
    assert [(a.kind, a.path, a.width, a.height) for a in output.artifacts] == [("film", "film.mp4", 1120, 360)]
    made = look(film)
    assert (made.faults, len(made.frames)) == ((), 60)
    shown = watch(film)
    for number in (0, 30, 59):
        image = shown[number][1]
        assert frame_number(image.crop(CAMERA_PLACE)) == pytest.approx(number, abs=1)
        assert frame_number(image.crop(SCREEN_PLACE)) == pytest.approx(number // 3, abs=1)
    assert made.sound_end == pytest.approx(2, abs=0.06)


@pytest.mark.parametrize(("layout", "top"), [("piph", 10), ("pipb", 360 - 90 - 10)])
def test_picture_in_picture(takes: dict[str, Path], compose: Compose, watch: Watch, layout: str, top: int) -> None:
    """A quarter of the height, ten pixels from the edges, whichever take the job names first."""
    for given in (takes, dict(reversed(takes.items()))):
        film, output = compose(given, layout=layout)
        assert (output.artifacts[0].width, output.artifacts[0].height) == (640, 360)
        image = watch(film)[30][1]
        inset = image.crop((640 - 120 - 10, top, 640 - 10, top + 90))
        assert frame_number(inset) == pytest.approx(30, abs=1)
        assert frame_number(image) == 10, "the screen's number is on the left"
        around = [(640 - 5, top + 45), (640 - 135, top + 45), (575, 5 if top == 10 else 355)]
        for place in around:
            pixel = image.getpixel(place)
            assert isinstance(pixel, tuple)
            assert any(
                all(abs(a - b) <= 12 for a, b in zip(pixel, colour, strict=True))
                for colour in ((40, 90, 140), (230, 160, 30))
            ), "the screen's background or its bar"


@pytest.mark.parametrize("alone", ["presenter", "presentation"])
def test_one_take_alone(takes: dict[str, Path], compose: Compose, watch: Watch, look: Any, alone: str) -> None:
    film, output = compose(takes, layout=alone)
    assert output.artifacts[0].width == {"presenter": 480, "presentation": 640}[alone]
    assert frame_number(watch(film)[15][1]) == pytest.approx(15, abs=1)
    assert look(film).sound_end == pytest.approx(2, abs=0.06), "the presenter is heard though not seen"


def test_a_single_take_is_shown_whatever_the_layout(takes: dict[str, Path], compose: Compose) -> None:
    film, output = compose({"presentation": takes["presentation"]}, layout="pipb", attributes={"name": "Cours n° 1/2"})
    assert (film.name, output.artifacts[0].width, output.facts["has_audio"]) == ("Cours_n_1_2.mp4", 640, False)


def test_small_takes_are_composed_too(clip: Clip, compose: Compose, look: Any) -> None:
    film, output = compose({"presenter": clip("small.webm", seconds=1, width=120, height=90)}, layout="presenter")
    assert (output.artifacts[0].width, output.artifacts[0].height) == (120, 90)
    assert look(film).faults == ()


@pytest.mark.long
def test_takes_that_start_at_different_times_stay_in_step(clip: Clip, compose: Compose, watch: Watch) -> None:
    """Equal time stamps were taken at one time: the camera's 1.2 s are missing, not shifted."""
    camera = clip("late.webm", seconds=4, start=1.2, **CAMERA)
    screen = clip("early.webm", seconds=5, **SCREEN)
    film, output = compose({"presenter": camera, "presentation": screen}, layout="mid")
    shown = watch(film)
    assert output.facts["duration"] == pytest.approx(5.2, abs=0.06)
    for seconds in (0.5, 2.0, 3.5, 4.8):
        image = shown[round(seconds * 30)][1]
        assert frame_number(image.crop(SCREEN_PLACE)) == pytest.approx(seconds * 10, abs=1)
        assert frame_number(image.crop(CAMERA_PLACE)) == pytest.approx(max(seconds - 1.2, 0) * 30, abs=1.5)


def test_a_clip_is_of_the_common_clock(takes: dict[str, Path], compose: Compose, watch: Watch, look: Any) -> None:
    film, output = compose(takes, layout="mid", clip_start=0.5, clip_end=1.5)
    assert output.facts["duration"] == pytest.approx(1, abs=0.01)
    (_, first), *_, (_, last) = watch(film)
    assert [frame_number(image.crop(CAMERA_PLACE)) for image in (first, last)] == pytest.approx([15, 44], abs=1)
    assert [frame_number(image.crop(SCREEN_PLACE)) for image in (first, last)] == [5, 14]
    assert look(film).sound_end == pytest.approx(1, abs=0.05)


def test_the_film_is_a_source(takes: dict[str, Path], compose: Compose, encode: Encode, look: Any) -> None:
    film, _ = compose(takes, layout="piph")
    encoded = encode(film)
    assert all(look(path).faults == () for path in encoded.films)
    assert encoded.output.facts["duration"] == pytest.approx(2, abs=0.06)


def test_what_cannot_be_composed_is_named(takes: dict[str, Path], compose: Compose, clip: Clip) -> None:
    with pytest.raises(BadSource, match="the clip begins at second 9"):
        compose(takes, clip_start=9)
    with pytest.raises(BadSource, match="no presentation with pictures"):
        compose({"presenter": takes["presenter"], "presentation": clip("a.mp3")}, layout="presentation")


def test_two_takes_of_one_role_are_refused(takes: dict[str, Path], tmp_path: Path) -> None:
    sources = tuple(Source(path=path) for path in takes.values())
    with pytest.raises(BadCall, match="two takes are called lecture"):
        plugins.encode.plugin.compose(fake_job(sources[0].path), sources, {}, fake_context(tmp_path / "job"))
