from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from plugins.encode.options import EncodeOptions
from plugins.encode.profiles import LECTURE, POD


def test_without_options_the_ladder_is_pods() -> None:
    assert EncodeOptions().ladder == POD


def test_a_profile_is_chosen_by_name() -> None:
    assert EncodeOptions.model_validate({"profile": "lecture"}).ladder == LECTURE


def test_a_profile_may_be_given_whole() -> None:
    own = {"name": "ours", "renditions": [{"height": 480, "max_rate": 1_500_000}], "preset": "fast"}
    ladder = EncodeOptions.model_validate({"profile": own}).ladder
    assert (ladder.name, ladder.preset, [rung.height for rung in ladder.renditions]) == ("ours", "fast", [480])


def test_options_survive_a_journey_as_json() -> None:
    options = EncodeOptions.model_validate({"profile": "lecture", "crf": 22})
    assert EncodeOptions.model_validate_json(options.model_dump_json()) == options


def test_text_from_the_command_line_is_understood() -> None:
    given = {"thumbnails": "4", "crf": "21.5", "renditions": '[{"height": 480, "max_rate": "1.5M"}]'}
    options = EncodeOptions.model_validate(given)
    assert (options.thumbnails, [(rung.crf, rung.max_rate) for rung in options.ladder.renditions]) == (
        4,
        [(21.5, 1_500_000)],
    )


def test_renditions_replace_the_profiles_and_keep_the_rest_of_it() -> None:
    ladder = EncodeOptions.model_validate(
        {"profile": "lecture", "renditions": [{"height": 480, "max_rate": "1500k"}]}
    ).ladder
    assert ([rung.height for rung in ladder.renditions], ladder.keyframe_seconds) == ([480], 2)


@pytest.mark.parametrize(
    ("given", "field", "words"),
    [
        ({"profile": "hd"}, "profile", "there are pod, lecture"),
        ({"preset": "quick"}, "preset", "'slow'"),
        ({"crf": 60}, "crf", "less than or equal to 51"),
        ({"thumbnails": 1}, "thumbnails", "greater than or equal to 2"),
        ({"renditions": "[{"}, "renditions", "line 1"),
        ({"renditions": [{"height": 481, "max_rate": "1M"}]}, "renditions.0.height", "multiple of 2"),
        ({"renditions": [{"height": 480, "max_rate": "fast"}]}, "renditions.0.max_rate", "valid integer"),
        ({"renditions": [{"height": 480, "max_rate": "1M"}] * 2}, "renditions", "same height (480, 480)"),
        ({"profile": {"renditions": []}}, "profile.renditions", "at least 1"),
        ({"presets": "slow"}, "presets", "not permitted"),
    ],
)
def test_a_wrong_option_is_refused_by_name(given: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        EncodeOptions.model_validate(given)
    told = {".".join(map(str, error["loc"])): error["msg"] for error in refusal.value.errors()}
    assert words in told[field]
