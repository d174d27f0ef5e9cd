from __future__ import annotations

import pytest

from core import errors
from core.errors import AmphipodError, BadSource, Cancelled, NoSpace, UnknownJob, UnsafePath


def test_an_error_reads_as_one_line_with_its_remedy() -> None:
    error = BadSource("clip.mp4: not\n a video", remedy="upload it again")

    assert str(error) == "clip.mp4: not a video: upload it again"


@pytest.mark.parametrize("kind", [BadSource, NoSpace, UnsafePath, UnknownJob])
def test_an_error_survives_the_pipe_from_a_child(kind: type[AmphipodError]) -> None:
    error = kind("words", remedy="do this", job="j1", step="encode", plugin="encode", path="/a")

    again = errors.from_dict(error.to_dict())

    assert type(again) is kind
    assert (str(again), again.job, again.step, again.plugin, again.path) == (
        "words: do this",
        "j1",
        "encode",
        "encode",
        "/a",
    )


def test_a_plugins_own_error_comes_back_as_the_class_that_it_extends() -> None:
    class BadCodec(BadSource):
        pass

    again = errors.from_dict(BadCodec("words").to_dict())

    assert type(again) is BadSource


def test_domain_errors_are_also_the_builtin_that_a_caller_expects() -> None:
    assert issubclass(BadSource, ValueError)
    assert issubclass(UnsafePath, ValueError)
    assert issubclass(UnknownJob, KeyError)
    assert issubclass(NoSpace, OSError)


def test_a_cancel_passes_through_except_exception() -> None:
    assert not issubclass(Cancelled, Exception)


def test_the_tree_in_the_docstring_names_every_error() -> None:
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, BaseException):
            assert name in (errors.__doc__ or "")
