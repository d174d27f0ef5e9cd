"""Weights from the disk into memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import Permanent
from plugins.transcript.loading import load, read
from plugins.transcript.weights import Weights

from .conftest import DATA


def test_a_file_that_is_no_model_is_told(tmp_path: Path) -> None:
    (tmp_path / "bad.pt").write_bytes(b"not a model")
    with pytest.raises(Permanent, match=r"bad\.pt can't be loaded"):
        load(Weights(None, tmp_path / "bad.pt"), 1)


def test_a_converted_folder_that_is_broken_says_how_it_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "base-ct2").mkdir()
    (tmp_path / "base-ct2/model.bin").write_bytes(b"not a model")
    with pytest.raises(Permanent, match=r"base-ct2 can't be loaded .*: remove that folder and make it again with `amp"):
        load(Weights("base", tmp_path / "base-ct2"), 1)


def test_a_model_is_loaded_once_packed_or_not(checkpoint: Path) -> None:
    packed, plain = Weights(None, DATA / "micro-whisper.pt.gz"), Weights(None, checkpoint)

    assert load(packed, 1) is load(packed, 1)
    other = load(plain, 1)
    assert other is load(plain, 1)
    assert read(DATA / "micro-whisper.pt.gz", "cpu").dims == read(checkpoint, "cpu").dims
