from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import whisper

from core.errors import BadCall, BadSettings, OutOfReach, Permanent, PluginUnavailable
from core.settings import load as load_settings
from plugins.transcript import weights
from plugins.transcript.options import TranscribeOptions
from plugins.transcript.settings import TranscriptSettings
from plugins.transcript.weights import OFFICIAL, Weights, pull, weights_for


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder in which this host keeps weights."""
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setenv("AMPHIPOD_TRANSCRIPT_FOLDER", str(folder))
    return folder


def own() -> TranscriptSettings:
    return load_settings().of_plugin("transcript", TranscriptSettings)


def found(language: str = "fr", **options: Any) -> Weights:
    return weights_for(TranscribeOptions(**options), language, own())


def test_by_name_in_the_configured_folder(models: Path) -> None:
    (models / "large-v3-turbo.pt").touch()

    assert found(model="turbo") == Weights("turbo", models / "large-v3-turbo.pt")


def test_by_path(tmp_path: Path) -> None:
    (tmp_path / "ours.pt").touch()

    assert found(model=str(tmp_path / "ours.pt")).path == tmp_path / "ours.pt"


def test_of_a_name_s_weights_the_converted_ones_are_chosen_unless_torch_is_asked_for(models: Path) -> None:
    (models / "base.pt").touch()
    assert found(model="base").path == models / "base.pt", "nothing else is here"

    (models / "base-ct2").mkdir()
    (models / "base-ct2/model.bin").touch()
    assert found(model="base").path == models / "base-ct2"
    assert str(found(model="base")) == "base for CTranslate2"
    assert found(model="base", backend="torch").path == models / "base.pt"
    assert found(model=str(models / "base.pt")).path == models / "base.pt", "a file that is named is what is used"


def test_weights_that_the_asked_library_does_not_run_are_told(models: Path) -> None:
    (models / "base.pt").touch()
    with pytest.raises(
        Permanent, match=r"base is not on this host in CTranslate2's form .* `amphipod models convert b"
    ):
        found(model="base", backend="ctranslate2")
    with pytest.raises(
        Permanent, match=r"base\.pt is run by torch, and ctranslate2 is asked for: leave out the option"
    ):
        found(model=str(models / "base.pt"), backend="ctranslate2")


def test_a_folder_that_was_not_converted_is_told(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match=r"no model\.bin in .*: make the folder with `amphipod models convert`"):
        found(model=str(tmp_path))


def test_pod_s_table_chooses_by_language(models: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "pod"
    elsewhere.mkdir()
    for path in (elsewhere / "medium.pt", models / "small.pt", models / "base.pt"):
        path.touch()
    table = {"WHISPER": {"fr": {"model": "medium", "download_root": str(elsewhere)}, "en": {"model": "base"}}}

    assert found("fr", models=table).path == elsewhere / "medium.pt"
    assert found("en", models=table).path == models / "base.pt"
    assert found("de", models=table).path == models / "small.pt"
    assert found("en", models=table | {"WHISPER": {"auto": {"model": "base"}}}).path == models / "base.pt"
    assert found("fr", models=table, model="base").path == models / "base.pt", "the job's own model wins"


def test_the_host_s_table_is_read_from_pod_s_setting(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (models / "base.pt").touch()
    monkeypatch.setenv("TRANSCRIPTION_MODEL_PARAM", '{"WHISPER": {"fr": {"model": "base"}}}')

    assert found("fr").name == "base"


def test_a_table_may_name_models_alone(models: Path) -> None:
    (models / "base.pt").touch()

    assert found("fr", models={"fr": "base"}).name == "base"


@pytest.mark.parametrize("table", ["not JSON", "[1]", "7"])
def test_a_table_that_is_none_is_told(table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMPHIPOD_TRANSCRIPT_MODELS", table)
    with pytest.raises(BadSettings, match="AMPHIPOD_TRANSCRIPT_MODELS must be a table"):
        found()


def test_the_names_are_whisper_s() -> None:
    assert {name: Path(url).stem for name, url in whisper._MODELS.items()} == dict(OFFICIAL)


def test_missing_weights_say_how_to_fetch_them() -> None:
    with pytest.raises(Permanent, match=r"the model small is not on this host .*: fetch it once with `amphipod models"):
        found()


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(Permanent, match=r"there is no model smal: name a file .* one of tiny, tiny\.en, "):
        found(model="smal")


class TestPull:
    """From a server on this machine that holds files as OpenAI's does: in a folder that is called as their checksum."""

    @pytest.fixture
    def _server(self, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        data = checkpoint.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        (tmp_path / "www" / digest).mkdir(parents=True)
        (tmp_path / "www" / digest / "tiny.pt").write_bytes(data)

        class Quiet(SimpleHTTPRequestHandler):
            def log_message(self, *arguments: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "www")))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_address[1]}"
        monkeypatch.setitem(whisper._MODELS, "tiny", f"{base}/{digest}/tiny.pt")
        monkeypatch.setitem(whisper._MODELS, "base", f"{base}/{digest}/base.pt")
        yield
        server.shutdown()
        server.server_close()

    # whisper leaves the file that it verifies to the garbage collector
    @pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
    @pytest.mark.usefixtures("_server")
    def test_what_was_pulled_is_found(self, models: Path) -> None:
        assert pull("tiny", models) == models / "tiny.pt"
        assert found(model="tiny").path == models / "tiny.pt"
        assert pull("tiny", models) == models / "tiny.pt"

    @pytest.mark.usefixtures("_server")
    def test_a_server_that_refuses_is_told(self, models: Path) -> None:
        with pytest.raises(OutOfReach, match=r"base\.pt can't be fetched"):
            pull("base", models)

    def test_a_name_that_nobody_knows_is_told(self) -> None:
        with pytest.raises(Permanent, match="there is no model micro: there are tiny"):
            pull("micro", Path("models"))


class TestBeforeAnyWork:
    """What `check` refuses, and as what."""

    def test_weights_that_are_not_here_are_this_host_s_lack(self) -> None:
        with pytest.raises(PluginUnavailable, match=r"small is not on this host .* `amphipod models pull small`"):
            weights.check(TranscribeOptions(), "auto", own())

    def test_a_name_that_nobody_knows_is_a_wrong_call(self) -> None:
        with pytest.raises(BadCall, match="there is no model smal"):
            weights.check(TranscribeOptions(model="smal"), "auto", own())

    def test_a_file_that_is_not_here_may_be_elsewhere(self, tmp_path: Path) -> None:
        with pytest.raises(PluginUnavailable):
            weights.check(TranscribeOptions(model=str(tmp_path / "ours.pt")), "auto", own())

    def test_an_english_model_hears_no_french(self, models: Path) -> None:
        (models / "tiny.en.pt").touch()
        weights.check(TranscribeOptions(model="tiny.en"), "en", own())
        with pytest.raises(BadCall, match="knows only English"):
            weights.check(TranscribeOptions(model="tiny.en"), "fr", own())


def test_languages_are_known_without_torch() -> None:
    code = "import sys; from plugins.transcript.language import known; print(known('French'), 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == (
        "fr False\n"
    )
