from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from core.model import Artifact, Division, Engine, Job, Manifest, Part, Plan, Source, State


def test_a_job_is_the_same_after_a_trip_through_json() -> None:
    job = Job(
        id="j1",
        sources=(Source(path=Path("/media/a.mp4")),),
        steps=("encode",),
        output=Path("/media/0001"),
        options={"crf": 21, "renditions": [{"height": 360}]},
    )

    assert Job.model_validate_json(job.to_json()) == job


def test_what_travels_carries_its_schema_number() -> None:
    job = Job(id="j1", sources=(Source(path=Path("a.mp4")),), steps=("encode",))

    assert json.loads(job.to_json())["schema"] == 1


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "a" * 129, "a\n", "é"])
def test_an_id_that_could_not_be_a_folders_name_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="is not an id"):
        Job(id=name, sources=(Source(path=Path("a.mp4")),), steps=("encode",))


@pytest.mark.parametrize("name", ["", "a.1", "a/b", "+", "a\n", "a" * 33])
def test_a_part_whose_name_could_not_be_a_files_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="should match pattern"):
        Part(name=name, weight=1)


def test_parts_of_one_name_are_refused() -> None:
    with pytest.raises(ValidationError, match="two parts have one name"):
        Division(parts=(Part(name="a", weight=1), Part(name="a", weight=2)))


def test_models_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Artifact(kind="audio", path="a.mp3", media_type="audio/mpeg").path = "b.mp3"  # type: ignore[misc]


def test_the_digest_of_options_ignores_their_order() -> None:
    engine = Engine(plugin="encode", distribution="amphipod", version="1")
    one = Plan(engines=(engine,), options={"a": 1, "b": [1, 2]}, origins={})
    other = Plan(engines=(engine,), options={"b": [1, 2], "a": 1}, origins={})
    third = Plan(engines=(engine,), options={"b": [2, 1], "a": 1}, origins={})

    assert one.digest == other.digest
    assert one.digest != third.digest


def test_a_manifest_hands_over_by_kind() -> None:
    audio = Artifact(kind="audio", path="a.mp3", media_type="audio/mpeg")
    video = Artifact(kind="rendition", path="360p.mp4", media_type="video/mp4")
    manifest = Manifest.model_validate(
        {
            "job": {"id": "j1", "sources": [{"path": "a.mp4"}], "steps": ["encode"]},
            "state": State.RUNNING,
            "run": 1,
            "steps": {"encode": {"state": "succeeded", "artifacts": [video, audio]}},
        }
    )

    assert manifest.find("audio") == (audio,)
    assert manifest.find("caption") == ()


def test_a_file_is_of_a_known_kind() -> None:
    with pytest.raises(ValidationError, match=r"'slides' is no kind of file; there are film, part, .*, other, "):
        Artifact(kind="slides", path="slides.pdf", media_type="application/pdf")
