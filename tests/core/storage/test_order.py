"""The jobs for one folder have numbers, in the order in which they came, without any clock."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from core.storage import order


def submitted(root: Path, job: str) -> str:
    (root / "jobs" / job).mkdir(parents=True)
    return job


def test_a_job_keeps_its_number(tmp_path: Path) -> None:
    output = tmp_path / "0042"

    assert [order.take(tmp_path, output, submitted(tmp_path, job)) for job in ("a", "b")] == [1, 2]
    assert order.take(tmp_path, output, "a") == 1


def test_two_folders_are_counted_apart(tmp_path: Path) -> None:
    assert order.take(tmp_path, tmp_path / "0042", "a") == order.take(tmp_path, tmp_path / "0043", "a") == 1


def test_no_number_is_given_twice(tmp_path: Path) -> None:
    jobs = [submitted(tmp_path, f"job-{number}") for number in range(24)]

    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(lambda job: order.take(tmp_path, tmp_path / "0042", job), jobs))

    assert sorted(numbers) == list(range(1, 25))


def test_numbers_of_jobs_that_are_gone_are_forgotten_but_not_given_again(tmp_path: Path) -> None:
    output = tmp_path / "0042"
    for job in ("gone", "gone too"):
        order.take(tmp_path, output, job.replace(" ", "-"))

    assert order.take(tmp_path, output, submitted(tmp_path, "new")) == 3
    (folder,) = (tmp_path / "outputs").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["2", "3"]
