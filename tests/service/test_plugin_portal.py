"""A portal that a plugin knows is told like Esup-Pod: by its own kind of callback, until it has taken the news."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from core import jobs
from core.jobs import Status
from core.model import Callback, State
from core.settings import Settings

from ..conftest import TOY_ENGINE, InstallPlugin
from .conftest import Start, until

Ended = Callable[..., Status]

CAMPUS = """
    from pathlib import Path
    from core import Case, Verdict, hookimpl

    @hookimpl
    def register_callbacks():
        return {"campus": tell}

    def tell(case: Case) -> Verdict:
        board = Path(case.delivery.callback.url)
        with board.open("a") as file:
            file.write(f"{case.state} {case.delivery.tries}\\n")
        return Verdict("taken", "read") if case.delivery.tries else Verdict("again", "nobody looks")
"""


@pytest.fixture
def toy_service(service: Settings, install_plugin: InstallPlugin, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The toy's service, with the portal of a campus."""
    install_plugin("toy", TOY_ENGINE)
    install_plugin("campus", CAMPUS)
    monkeypatch.setenv("AMPHIPOD_PLUGINS_ONLY", "toy,campus")
    return service.model_copy(update={"plugins_only": ("toy", "campus")})


def test_it_is_told_until_it_has_taken_the_news(
    toy_service: Settings, start: Start, ended: Ended, tmp_path: Path
) -> None:
    start("encoding", "callbacks", threads=2, callback_retry_seconds="0.2")
    board = tmp_path / "board"
    told = Callback(kind="campus", url=str(board))
    job = jobs.submit("a.mp4", options={"do": {"write": "x"}}, callbacks=[told], settings=toy_service)
    assert ended(job).state is State.SUCCEEDED
    until(lambda: board.exists() and board.read_text() == "succeeded 0\nsucceeded 1\n", what="it is told twice")
