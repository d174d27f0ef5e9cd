from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from core.errors import BadSettings
from core.settings import Settings, load, unknown_variables


def write(text: str, path: Path = Path("amphipod.toml")) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_without_a_word_from_anyone_the_defaults_hold() -> None:
    assert load() == Settings()


def test_jobs_go_to_the_users_data_folder_by_default(tmp_path: Path) -> None:
    assert load().jobs_root == tmp_path / "home/data/amphipod"


def test_the_environment_sets_each_field(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {
        "JOBS_ROOT": "/srv/jobs",
        "MEDIA_ROOTS": "/srv/media:/srv/archive",
        "PLUGINS_BLOCKED": "encode,xapi",
        "PLUGINS_STRICT": "true",
        "ENGINES": '{"encode": ["fast", "encode"]}',
        "OPTIONS": '{"profile": "lecture"}',
        "STEP_TIME_LIMIT": "90.5",
    }
    for name, value in environment.items():
        monkeypatch.setenv(f"AMPHIPOD_{name}", value)
    expected: dict[str, Any] = {
        "jobs_root": Path("/srv/jobs"),
        "media_roots": (Path("/srv/media"), Path("/srv/archive")),
        "plugins_blocked": ("encode", "xapi"),
        "plugins_strict": True,
        "engines": {"encode": ("fast", "encode")},
        "options": {"profile": "lecture"},
        "step_time_limit": 90.5,
    }
    assert load().model_dump() == Settings().model_dump() | expected


def test_a_file_in_the_current_folder_is_read() -> None:
    write('threads = 2\nmedia_roots = ["/srv/media"]\n[engines]\nencode = ["fast"]\n')
    found = load()
    assert (found.threads, found.media_roots, found.engines) == (2, (Path("/srv/media"),), {"encode": ("fast",)})


def test_another_file_can_be_named(tmp_path: Path) -> None:
    write("threads = 2")
    assert load(write("threads = 3", tmp_path / "other.toml")).threads == 3


def test_the_environment_wins_over_the_file_and_the_caller_over_both(monkeypatch: pytest.MonkeyPatch) -> None:
    write("threads = 2\nstep_attempts = 2\nlog_level = 'debug'")
    monkeypatch.setenv("AMPHIPOD_STEP_ATTEMPTS", "5")
    monkeypatch.setenv("AMPHIPOD_LOG_LEVEL", "warning")
    found = load(log_level="error")
    assert (found.threads, found.step_attempts, found.log_level) == (2, 5, "error")


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMPHIPOD_THREADS", "")
    assert load().threads == 0


def test_pod_s_media_root_is_one_more_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDIA_ROOT", "/srv/pod/media")
    monkeypatch.setenv("AMPHIPOD_MEDIA_ROOTS", os.pathsep.join(["/srv/a", "/srv/b"]))
    assert load().media_roots == (Path("/srv/a"), Path("/srv/b"), Path("/srv/pod/media"))


def test_a_media_root_named_twice_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDIA_ROOT", "/srv/media")
    monkeypatch.setenv("AMPHIPOD_MEDIA_ROOTS", "/srv/media")
    assert load().media_roots == (Path("/srv/media"),)


def test_all_mistakes_are_told_at_once_each_with_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    write("threads = -1\ncolour = 'blue'\n[engines]\nPaint = ['brush']")
    monkeypatch.setenv("AMPHIPOD_STEP_ATTEMPTS", "many")
    monkeypatch.setenv("AMPHIPOD_LOG_FORMAT", "xml")
    with pytest.raises(BadSettings) as caught:
        load()
    words = str(caught.value)
    for mistake in (
        "threads in amphipod.toml must be 0 or more (it is -1)",
        "colour in amphipod.toml is no setting",
        "engines in amphipod.toml.Paint",
        "AMPHIPOD_STEP_ATTEMPTS must be a whole number",
        "(it is 'many')",
        "AMPHIPOD_LOG_FORMAT must be 'console' or 'json' (it is 'xml')",
    ):
        assert mistake in words


def test_a_variable_that_is_not_json_is_told_like_any_other_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMPHIPOD_ENGINES", "encode=fast")
    with pytest.raises(BadSettings, match="AMPHIPOD_ENGINES"):
        load()


@pytest.mark.parametrize(("content", "words"), [("threads =", "not TOML"), (None, "No such file or directory")])
def test_a_file_that_can_t_be_read_is_named(content: str | None, words: str, tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    if content is not None:
        write(content, file)
    with pytest.raises(BadSettings, match=f"site.toml: {words}"):
        load(file)


def test_settings_can_t_be_changed_in_passing() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().threads = 4  # type: ignore[misc]


def test_variables_that_nobody_reads_are_told_with_the_nearest_that_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BROKER", "XAPI_LRS_URLL", "SLOTS", "CONFIG", "TRANSCRIPT_FOLDER", "ZZZ"):
        monkeypatch.setenv(f"AMPHIPOD_{name}", "1")

    assert unknown_variables({"xapi": ["AMPHIPOD_XAPI_LRS_URL"]}) == [
        ("AMPHIPOD_BROKER_URL", "AMPHIPOD_BROKER is no setting: did you mean AMPHIPOD_BROKER_URL?"),
        ("AMPHIPOD_XAPI_LRS_URL", "AMPHIPOD_XAPI_LRS_URLL is no setting: did you mean AMPHIPOD_XAPI_LRS_URL?"),
        (None, "AMPHIPOD_ZZZ is no setting"),
    ]


def test_a_plugin_s_settings_may_stand_above_all_tables_as_they_once_did() -> None:
    write(
        'xapi_lrs_url = "http://old"\nxapi_validation = "off"\nxapi_batch_seconds = 3\n[plugin.xapi]\nlrs_url = "http://new"'
    )
    loaded = load()
    assert loaded.plugin["xapi"] == {"lrs_url": "http://new", "validation": "off"}
    assert loaded.xapi_batch_seconds == 3, "ours"


def test_a_slip_in_the_file_is_told_with_the_nearest_setting() -> None:
    write("thread = 2")
    with pytest.raises(BadSettings, match=r"thread in amphipod.toml is no setting, did you mean threads\?"):
        load()
