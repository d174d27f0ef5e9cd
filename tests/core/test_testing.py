"""The support for plugin authors keeps its promises."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from core.testing import draw_frame, fake_context, frame_number, make_clip


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm", "a.ts", "a.avi", "a.mov"])
def test_each_picture_of_a_clip_carries_its_number(tmp_path: Path, name: str) -> None:
    with av.open(str(make_clip(tmp_path / name, seconds=0.4))) as container:
        numbers = [frame_number(frame.to_image()) for frame in container.decode(video=0)]  # type: ignore[no-untyped-call]
    assert numbers == list(range(10))


@pytest.mark.parametrize("turned", [0, 90, 180, 270])
def test_a_number_is_read_from_a_turned_picture(turned: int) -> None:
    for number in (0, 1, 2, 777, 65_535):
        assert frame_number(draw_frame(number, 640, 360).rotate(-turned, expand=True), turned) == number


def test_an_edit_list_hides_the_first_pictures(tmp_path: Path) -> None:
    with av.open(str(make_clip(tmp_path / "a.mp4", seconds=1, skip_frames=7))) as container:
        numbers = [frame_number(frame.to_image()) for frame in container.decode(video=0)]  # type: ignore[no-untyped-call]
    assert numbers == list(range(7, 25))


def test_a_fake_context_has_empty_folders_and_absolute_places(tmp_path: Path) -> None:
    context = fake_context(tmp_path / "job")
    assert [list(folder.iterdir()) for folder in (context.output, context.workdir)] == [[], []]
    assert context.published == context.output
