from __future__ import annotations

import logging

import pytest
import structlog

from core import logs
from core.settings import Settings

_OBEYED = "\x1b[2J\x1b]0;own\x07\u202e"


def test_a_terminal_that_shows_the_log_obeys_no_file_s_name(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(settings)
    try:
        raise ValueError(f"{_OBEYED}\nis no film")
    except ValueError:
        structlog.get_logger().exception(f"{_OBEYED}\nforged", source=f"{_OBEYED}\nforged")
    logging.getLogger("a.library").warning("%s\nforged", _OBEYED)
    told = capsys.readouterr().err
    assert "is no film" in told
    assert not [line for line in told.splitlines() if line.startswith("forged")]
    assert [one for one in told if not one.isprintable() and one != "\n"] == []
