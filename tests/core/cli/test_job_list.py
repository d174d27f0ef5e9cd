"""`amphipod jobs`, `show` and `dead` without a broker: the jobs of this host."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from core import settings as settings_module
from core.cli.jobs.list import parse_since
from core.cli.terminal.plain import plain
from core.errors import BadCall
from core.model import Job, Source, now
from core.pipeline import lifecycle


def amphipod(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "core.cli", *arguments], capture_output=True, text=True, check=False)


def submit(name: str, title: str) -> None:
    job = Job(id=name, sources=(Source(path=Path("a.mp4")),), steps=("encode",), attributes={"title": title})
    lifecycle.submit(job, settings_module.load().jobs_root)


def test_jobs_are_listed_with_id_state_and_title_fit_for_a_terminal() -> None:
    submit("j1", "Droit \x1b]0;owned\x07 [red]public")

    shown = amphipod("jobs", "--search", "droit").stdout.splitlines()

    assert shown[0].startswith(r"waiting    j1  Droit \x1b]0;owned\x07 [red]public  encode, since ")
    assert shown[1] == "1 waiting, 0 running, 0 delayed, 0 done, 0 failed, 0 cancelled"


def test_json_has_the_rows_and_the_keys_that_scripts_know() -> None:
    submit("j1", "Anatomy")

    found = json.loads(amphipod("jobs", "--json", "--state", "open").stdout)

    assert [row["title"] for row in found["rows"]] == ["Anatomy"]
    assert {"queues", "unserved", "running", "delayed", "failed", "untold"} <= found.keys()


def test_show_tells_all_about_a_job() -> None:
    submit("j1", "Anatomy")

    shown = amphipod("show", "j1").stdout.splitlines()
    told = json.loads(amphipod("show", "j1", "--json").stdout)

    assert shown[0] == "j1  waiting  Anatomy"
    assert [step["name"] for step in told["steps"]] == ["encode"]


def test_dead_says_when_nothing_is() -> None:
    submit("j1", "Anatomy")

    assert amphipod("dead").stdout == "nothing is dead\n"


@pytest.mark.parametrize(("text", "seconds"), [("30min", 1800), ("2h", 7200), ("3d", 259200), ("45s", 45)])
def test_a_span_counts_back_from_now(text: str, seconds: int) -> None:
    assert (now() - parse_since(text)).total_seconds() == pytest.approx(seconds, abs=5)


def test_a_time_that_is_none_is_refused() -> None:
    assert parse_since("2026-09-01T08:00+00:00").hour is not None
    with pytest.raises(BadCall, match="is no time: write 30min"):
        parse_since("yesterday")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("École 4.mp4", "École 4.mp4"),
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("a\nb\tc", "a b c"),
        ("\udce9cole.mp4", r"\xe9cole.mp4"),
        ("abc\u202efdp.exe", r"abc\u202efdp.exe"),
        ("می\u200cخواهم", "می\u200cخواهم"),
    ],
)
def test_no_name_moves_the_cursor_or_hides_anything(name: str, shown: str) -> None:
    assert plain(name) == shown
