from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from core import logs
from core.model import Job, Source
from core.pipeline import in_process, lifecycle
from core.pipeline.planning import Host
from core.settings import Settings
from core.storage import files, story
from core.storage.job_folder import JobFolder
from core.storage.story import Reader


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    import logging

    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:], logging.root.level = handlers, level
    structlog.reset_defaults()


@pytest.fixture
def folder(settings: Settings) -> JobFolder:
    job = Job(id="j1", sources=(Source(path=Path("a.mp4")),), steps=("encode",))
    return lifecycle.submit(job, settings.jobs_root)[0]


def events(folder: JobFolder) -> list[str]:
    return [line["event"] for line in Reader(folder).new()]


def run_here(host: Host, **do: Any) -> JobFolder:
    """Do a job in-process, as `amphipod run` does: with a terminal that shows errors only."""
    logs.configure(host.settings.model_copy(update={"log_level": "error"}))
    job = Job(id="j1", sources=(Source(path=Path("a.mp4")),), steps=("encode",), options={"do": do})
    folder, _ = lifecycle.submit(job.model_copy(update={"correlation_id": "portal-42"}), host.settings.jobs_root)
    in_process.run_embedded(host, folder)
    return folder


class TestInProcess:
    def test_a_good_job_is_told_from_its_submission_to_its_end(self, toy_host: Host) -> None:
        folder = run_here(toy_host, log="a word of the plugin", sleep=2.5, write="x")

        lines = Reader(folder).new()

        told = [line["event"] for line in lines if line["event"] != "progress"]
        assert told == ["submitted", "taken", "a word of the plugin", "done", "job succeeded"]
        percents = [line["percent"] for line in lines if line["event"] == "progress"]
        assert percents
        assert all(later // 10 > earlier // 10 for earlier, later in itertools.pairwise(percents))
        assert {line["correlation_id"] for line in lines} == {"portal-42"}
        assert next(line for line in lines if line["event"] == "done")["seconds"] >= 2.5

    def test_a_failure_has_its_reason_and_the_trace_of_the_process_that_met_it(self, toy_host: Host) -> None:
        folder = run_here(toy_host, blow_up="the sky fell")

        (failed,) = [line for line in Reader(folder).new() if line["level"] == "error"]

        assert (failed["event"], failed["step"]) == ("failed", "encode")
        assert "the sky fell" in failed["reason"]
        assert 'toy.py", line' in failed["exception"]
        assert "ValueError: the sky fell" in failed["exception"]

    def test_a_crash_is_told_with_what_the_process_said_last(self, toy_host: Host) -> None:
        folder = run_here(toy_host, print_noise="a decoder's last words", kill="SIGSEGV")

        lines = Reader(folder).new()

        assert [line["event"] for line in lines if line["level"] == "warning"] == ["attempt failed"] * 2
        assert "a decoder's last words" in next(line for line in lines if line["event"] == "failed")["exception"]

    def test_a_story_that_cannot_be_written_fails_no_job(
        self, toy_host: Host, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def full(*_arguments: object) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(story, "_open", full)
        folder = run_here(toy_host, blow_up="the sky fell")

        assert (folder.path / "manifest.json").exists()
        assert "story='not written: [Errno 28] No space left on device'" in capsys.readouterr().err


class TestKeeping:
    def test_lines_about_no_job_or_one_that_is_not_here_are_kept_nowhere(self, settings: Settings) -> None:
        logs.configure(settings)

        structlog.get_logger().info("hello")
        structlog.get_logger().info("hello", job="elsewhere")
        structlog.get_logger().info("hello", job="../../evil")

        assert not list(settings.jobs_root.rglob("*"))

    def test_its_size_is_bounded_and_the_latest_stays(self, folder: JobFolder, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(story, "LIMIT", 20_000)
        for number in range(1000):
            story.append(folder, {"timestamp": f"{number:04}", "event": f"line {number}", "level": "info"})

        assert sum(path.stat().st_size for path in folder.story.iterdir()) < 45_000
        assert len(list(folder.story.iterdir())) == 2
        numbers = [int(event.split()[1]) for event in events(folder) if event.startswith("line ")]
        assert numbers == list(range(numbers[0], 1000))
        assert len(numbers) > 200

    def test_a_line_is_bounded(self, folder: JobFolder) -> None:
        story.append(folder, {"timestamp": "9998", "event": "x" * 100_000, "reason": "y" * 100_000})
        story.append(folder, {"timestamp": "9999", "event": "many", "numbers": list(range(100_000))})

        _, long, many = Reader(folder).new()
        assert len(json.dumps(long)) < 5000
        assert many["cut"] is True

    def test_processes_that_write_at_once_lose_no_line(self, folder: JobFolder) -> None:
        code = (
            "import sys; from pathlib import Path; from core.storage import story\n"
            "from core.storage.job_folder import JobFolder\n"
            "for number in range(200):\n"
            "    story.append(JobFolder(Path(sys.argv[1]), 'j1'), {'event': f'{sys.argv[2]} {number}', 'x': 'y' * 300})"
        )
        writers = [subprocess.Popen([sys.executable, "-c", code, str(folder.root), name]) for name in ("a", "b", "c")]

        assert [writer.wait() for writer in writers] == [0, 0, 0]
        told = events(folder)
        assert {f"{name} {number}" for name in ("a", "b", "c") for number in range(200)} <= set(told)


class TestReading:
    def test_lines_of_several_hosts_are_merged_by_time(
        self, folder: JobFolder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for moment, host in enumerate(("enc-1", "enc-2", "enc-1")):
            monkeypatch.setattr(files, "host_name", lambda host=host: host)
            story.append(folder, {"timestamp": f"9999-01-01T00:00:0{moment}Z", "event": f"{moment}"})

        assert events(folder)[-3:] == ["0", "1", "2"]

    def test_a_torn_line_is_shown_and_hides_no_other(self, folder: JobFolder) -> None:
        file = next(folder.story.iterdir())
        file.write_bytes(file.read_bytes() + b'{"event": "half a li\n')
        story.append(folder, {"timestamp": "9999", "event": "after"})

        assert '{"event": "half a li' in events(folder)
        assert events(folder)[-1] == "after"

    def test_what_has_come_since_is_read_once_also_when_the_file_has_turned(
        self, folder: JobFolder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(story, "LIMIT", 1500)
        reader = Reader(folder)
        told: list[str] = [line["event"] for line in reader.new()]
        for number in range(30):
            story.append(folder, {"timestamp": f"9999-{number:02}", "event": str(number), "x": "y" * 200})
            told += [line["event"] for line in reader.new()]

        assert told == ["submitted", *(str(number) for number in range(30))]


class TestSecrets:
    @pytest.fixture
    def spoken(self, folder: JobFolder, settings: Settings) -> Callable[..., str]:
        secret = settings.model_copy(
            update={
                "broker_url": "redis://:redis-pw%21@redis.example/0",
                **Settings(pod_api_token="pod-token", webhook_secret="lrs-password").model_dump(
                    include={"pod_api_token", "webhook_secret"}
                ),
            }
        )
        logs.configure(secret)

        def speak(**about: Any) -> str:
            structlog.get_logger().error("a fault", job=folder.id, **about)
            return "".join(path.read_text() for path in folder.story.iterdir())

        return speak

    def test_the_settings_secrets_are_in_no_line(self, spoken: Callable[..., str]) -> None:
        try:
            raise ValueError("Token pod-token was refused")
        except ValueError:
            told = spoken(reason=["lrs-password", {"why": "redis-pw!"}], exc_info=True)

        assert not [word for word in ("pod-token", "lrs-password", "redis-pw") if word in told]
        assert "Token [hidden] was refused" in told

    def test_nor_is_the_password_of_any_address(self, spoken: Callable[..., str]) -> None:
        assert "https://anna:[hidden]@lms.example/x" in spoken(reason="GET https://anna:geheim@lms.example/x")

    @pytest.mark.parametrize("form", ["json", "console"])
    def test_a_trace_shows_no_local_variables(
        self, form: str, settings: Settings, capsys: pytest.CaptureFixture[str]
    ) -> None:
        logs.configure(settings.model_copy(update={"log_format": form}))

        def connect() -> None:
            password = "".join(["letm", "ein123"])
            raise ValueError(len(password))

        try:
            connect()
        except ValueError:
            structlog.get_logger().exception("a fault")

        assert "ValueError: 10" in (shown := capsys.readouterr().err)
        assert "letmein123" not in shown
