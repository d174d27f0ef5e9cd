from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from core.storage.job_folder import JobFolder

from ...conftest import TOY_ENGINE, InstallPlugin

AMPHIPOD = [sys.executable, "-m", "core.cli"]


@pytest.fixture(autouse=True)
def _toy(install_plugin: InstallPlugin, monkeypatch: pytest.MonkeyPatch) -> None:
    install_plugin("toy", TOY_ENGINE)
    monkeypatch.setenv("AMPHIPOD_PLUGINS_ONLY", "toy")
    Path("a.mp4").write_text("a lecture")


def amphipod(*arguments: str, **do: Any) -> subprocess.CompletedProcess[str]:
    options = ["--option", f"do={json.dumps(do)}"] if do else []
    return subprocess.run([*AMPHIPOD, *arguments, *options], capture_output=True, text=True, check=False)


def jobs() -> list[Path]:
    return sorted(Path("data/amphipod/jobs").iterdir())


def test_a_file_is_processed_and_the_summary_says_what_was_made() -> None:
    done = amphipod("run", "a.mp4", "--out", "result", write="hello")

    assert done.returncode == 0
    assert "360p.mp4" in done.stdout
    assert f"files    {Path.cwd() / 'result'}" in done.stdout
    assert (Path("result") / "360p.mp4").read_text() == "hello"


def test_json_is_the_manifest() -> None:
    done = amphipod("run", "a.mp4", "--json", write="hello")

    manifest = json.loads(done.stdout)
    assert manifest["state"] == "succeeded"
    assert manifest["steps"]["encode"]["artifacts"][0]["size"] == 5


def test_steps_that_nobody_does_are_left_out_with_a_word() -> None:
    done = amphipod("run", "a.mp4", write="hello")

    assert done.returncode == 0
    assert "left out: transcribe: no engine is installed" in done.stderr


def test_a_step_that_was_asked_for_by_name_must_be_installed() -> None:
    done = amphipod("run", "a.mp4", "--steps", "encode,transcribe")

    assert done.returncode == 2
    assert "amphipod: transcribe: no engine is installed: see `amphipod plugins`" in done.stderr
    assert not Path("data/amphipod").exists()


def test_a_failed_job_is_one_line_and_exit_code_1() -> None:
    done = amphipod("run", "a.mp4", refuse="neither picture nor sound")

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("failed: encode: a.mp4: neither picture nor sound")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--option", "crf"], "--option 'crf': write --option key=value"),
        (
            ["--steps", "dance"],
            "no step dance is known here: there are compose, encode, transcribe, emit; a",
        ),
        (["--engine", "dance=toy"], "no step dance"),
        (["--engine", "encode=nobody"], "no engine named nobody is installed"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(arguments: list[str], words: str) -> None:
    done = amphipod("run", "a.mp4", *arguments)

    assert done.returncode == 2
    assert words in done.stderr.splitlines()[-1]


def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMPHIPOD_STEP_ATTEMPTS", "many")
    monkeypatch.setenv("AMPHIPOD_LOG_FORMAT", "xml")

    done = amphipod("run", "a.mp4")

    assert done.returncode == 2
    assert "AMPHIPOD_STEP_ATTEMPTS" in done.stderr
    assert "AMPHIPOD_LOG_FORMAT" in done.stderr


@pytest.mark.long
def test_progress_is_plain_lines_when_nobody_watches() -> None:
    done = amphipod("run", "a.mp4", sleep=6, write="hello")

    assert any(line.startswith("encode: ") and "x realtime" in line for line in done.stderr.splitlines())
    assert "\x1b" not in done.stderr


def test_a_bar_moves_on_a_terminal() -> None:
    main, side = pty.openpty()
    command = [*AMPHIPOD, "run", "a.mp4", "--option", 'do={"sleep": 3, "write": "x"}']
    process = subprocess.Popen(command, stdout=side, stderr=side, env={**os.environ, "TERM": "xterm", "COLUMNS": "100"})
    os.close(side)
    screen = b""
    while True:
        try:
            screen += os.read(main, 4096)
        except OSError:
            break
    os.close(main)
    assert process.wait() == 0
    percents = {int(part.split()[-1]) for part in screen.decode().split("%")[:-1] if part.split()[-1].isdigit()}
    assert len(percents) > 3
    assert "x realtime" in screen.decode()


@pytest.mark.parametrize("name", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_cancels_the_job_leaves_nothing_and_says_how_to_go_on(name: signal.Signals) -> None:
    command = [*AMPHIPOD, "run", "a.mp4", "--out", "result", "--option", 'do={"sleep": 60}']
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not list(Path(os.environ["TMPDIR"]).glob("child-*")):
        time.sleep(0.05)
    process.send_signal(name)
    _, words = process.communicate(timeout=10)

    assert process.returncode == 128 + name
    assert "encode: stopped" in words
    (job,) = jobs()
    assert words.splitlines()[-1] == f"amphipod: what is done is kept, `amphipod retry {job.name}` goes on"
    assert list(Path("result").iterdir()) == []
    assert list((job / "scratch").iterdir()) == []


def test_the_page_plays_what_was_made() -> None:
    amphipod("run", "a.mp4", "--out", "result", "--page", write="hello")

    assert 'src="360p.mp4"' in (Path("result") / "watch.html").read_text()


def test_a_source_outside_the_media_roots_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMPHIPOD_MEDIA_ROOTS", os.environ["TMPDIR"])

    done = amphipod("run", str(Path("a.mp4").resolve()))

    assert done.returncode == 2
    assert "lies outside the media roots" in done.stderr


class TestPaths:
    """A person's paths count from where they stand."""

    @pytest.fixture(autouse=True)
    def _below(self, monkeypatch: pytest.MonkeyPatch) -> None:
        (Path("sub") / "deeper").mkdir(parents=True)
        monkeypatch.chdir("sub")

    def test_a_path_may_climb(self) -> None:
        done = amphipod("run", "../a.mp4", "--out", "deeper/../../result", write="x")

        assert done.returncode == 0
        assert Path("../result/360p.mp4").exists()

    def test_it_counts_from_here_with_media_roots_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AMPHIPOD_MEDIA_ROOTS", str(Path("..").resolve()))
        Path("b.mp4").touch()

        done = amphipod("run", "b.mp4", "--out", "result", write="x")

        assert done.returncode == 0
        assert Path("result/360p.mp4").exists()

    def test_a_file_address_is_a_path(self) -> None:
        Path("ü b.mp4").touch()

        assert amphipod("run", Path("ü b.mp4").resolve().as_uri(), write="x").returncode == 0

    @pytest.mark.parametrize(
        ("typed", "words"),
        [
            ("https://pod.univ.fr/a.mp4", "https://pod.univ.fr/a.mp4 is an address: only files are read here"),
            ("-", "standard input can't be read: write it to a file"),
            ("deeper", "deeper is a folder: name the files in it"),
            ("nowhere.mp4", "nowhere.mp4 does not exist: check its name"),
        ],
    )
    def test_what_is_no_file_is_told_before_any_work(self, typed: str, words: str) -> None:
        done = amphipod("run", typed)

        assert done.returncode == 2
        assert done.stderr.splitlines()[-1].startswith(f"amphipod: {words}")
        assert not Path(os.environ["XDG_DATA_HOME"], "amphipod").exists()


def test_several_files_get_a_folder_each_and_a_line_of_json_each() -> None:
    Path("b.mp4").touch()

    done = amphipod("run", "a.mp4", "b.mp4", "--out", "result", "--json", write="x")

    assert done.returncode == 0
    folders = [json.loads(line)["folders"] for line in done.stdout.splitlines()]
    assert folders == [[str(Path("result", name).resolve())] for name in ("a", "b")]
    assert Path("result/b/360p.mp4").exists()


def test_several_files_are_checked_before_the_first_is_begun() -> None:
    done = amphipod("run", "a.mp4", "nowhere.mp4")

    assert done.returncode == 2
    assert not Path("data").exists()


def test_files_that_would_share_a_folder_are_refused() -> None:
    Path("a.mov").touch()

    done = amphipod("run", "a.mp4", "a.mov", "--out", "result")

    assert done.returncode == 2
    assert "would share the folder" in done.stderr


def test_one_that_fails_does_not_keep_the_others_from_being_done() -> None:
    Path("b.mp4").touch()

    done = amphipod("run", "a.mp4", "b.mp4", "--out", "result", refuse="blank")

    assert done.returncode == 1
    assert done.stderr.count("failed: encode") == 2


def test_without_out_the_answer_says_where_the_files_are() -> None:
    (folder,) = json.loads(amphipod("run", "a.mp4", "--json", write="x").stdout)["folders"]

    assert Path(folder, "360p.mp4").read_text() == "x"


def test_a_step_s_end_is_told_when_it_ends(install_plugin: InstallPlugin, monkeypatch: pytest.MonkeyPatch) -> None:
    install_plugin("slow", SLOW_TRANSCRIPT)
    monkeypatch.setenv("AMPHIPOD_PLUGINS_ONLY", "toy,slow,captions")
    command = [*AMPHIPOD, "run", "a.mp4", "--steps", "encode,transcribe"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert process.stderr
    lines = list(takewhile(lambda line: line != "transcribe: loading the model", map(str.strip, process.stderr)))

    assert process.poll() is None
    assert "encode: succeeded" in lines
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)


SLOW_TRANSCRIPT = """
    import time

    from core import hookimpl

    @hookimpl
    def transcribe(context):
        context.doing("loading the model")
        time.sleep(60)
"""


def test_plugins_that_are_broken_are_told_in_one_line(
    install_plugin: InstallPlugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_plugin("unmarked", "def encode(job): ...")
    install_plugin("typo", "from core import hookimpl\n@hookimpl\ndef encoed(job): ...")
    monkeypatch.setenv("AMPHIPOD_PLUGINS_ONLY", "toy,unmarked,typo")

    done = amphipod("run", "a.mp4", "--steps", "encode", write="x")

    (line,) = (line for line in done.stderr.splitlines() if line.startswith("plugins left out: "))
    assert "typo is invalid (" in line
    assert "unmarked is invalid (it implements no hook" in line


@pytest.mark.parametrize("hook", ["encode", "step_options"])
def test_a_plugin_s_own_frames_are_shown_when_asked_for(
    hook: str, install_plugin: InstallPlugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_plugin("worse", f"from core import hookimpl\n@hookimpl\ndef {hook}():\n    return 1 / 0")
    monkeypatch.setenv("AMPHIPOD_PLUGINS_ONLY", "toy,worse")

    command = ["run", "a.mp4", "--steps", "encode", "--engine", f"encode={'worse' if hook == 'encode' else 'toy'}"]

    assert f", line 4, in {hook}" in amphipod(*command, "-v").stderr
    quiet = amphipod(*command)
    assert f"plugin worse failed in {hook}: ZeroDivisionError: division by zero" in quiet.stderr.splitlines()[-1]
    assert "Traceback" not in quiet.stderr


def test_what_a_file_is_called_is_neither_markup_nor_escape_sequence() -> None:
    done = amphipod("run", "a.mp4", write_files={"[red] a.mp4": "x"})

    assert done.returncode == 0
    assert "[red]" in done.stdout

    refused = amphipod("run", "a.mp4", write_files={"\x1b]52;c;eA==\x07.mp4": "x"})

    assert refused.returncode == 1
    assert "is no name of a file: control characters" in refused.stderr
    assert "\x1b" not in refused.stdout + refused.stderr


def test_a_refusal_repeats_no_escape_sequence() -> None:
    done = amphipod("run", "nowhere \x1b]52;c;eA==\x07.mp4")

    assert done.returncode == 2
    assert "\x1b" not in done.stderr


@pytest.mark.parametrize("do", [{"write": "x"}, {"refuse": "no film"}])
def test_names_in_bytes_that_are_not_utf_8_work(do: dict[str, Any]) -> None:
    name, out = os.fsdecode(b"cours d'\xe9t\xe9.mp4"), os.fsdecode(b"sortie \xe9")
    Path(name).write_text("a lecture")
    done = amphipod("run", name, "--out", out, **do)

    (folder,) = jobs()
    made = [path.name for path in Path(out).glob("[!.]*")]
    assert (done.returncode, made) == ((0, ["360p.mp4"]) if "write" in do else (1, []))
    assert "write" in do or "cours d'?t?.mp4: no film" in done.stderr
    assert name in [str(source.path.name) for source in JobFolder(folder.parents[1], folder.name).job().sources]
    for command in ("jobs", "show", "logs"):
        shown = amphipod(command, *([folder.name] if command != "jobs" else []))
        assert (shown.returncode, shown.stderr) == (0, "")
    assert json.loads(amphipod("show", folder.name, "--json").stdout)["row"]["source"] == "cours d'?t?.mp4"
