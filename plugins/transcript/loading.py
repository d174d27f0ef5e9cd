"""Weights from the disk into memory: the one model that this process keeps."""

from __future__ import annotations

import gzip
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import Permanent
from plugins.transcript.weights import MODEL_FILE, OFFICIAL, Weights

if TYPE_CHECKING:
    from whisper import Whisper
    from whisper.model import ModelDimensions

    from plugins.transcript.decoding.model import SpeechModel

_SIZES: Mapping[str, tuple[int, int]] = {
    **dict.fromkeys(("tiny.en", "tiny"), (384, 4)),
    **dict.fromkeys(("base.en", "base"), (512, 6)),
    **dict.fromkeys(("small.en", "small"), (768, 12)),
    **dict.fromkeys(("medium.en", "medium"), (1024, 24)),
    **dict.fromkeys(("large-v1", "large-v2"), (1280, 32)),
}

#: Mel bands, width of the encoder, layers and vocabulary of the decoder of the official models (whisper/model.py).
_SHAPES: Mapping[str, tuple[int, int, int, int]] = {
    **{name: (80, *size, 51_864 if name.endswith(".en") else 51_865) for name, size in _SIZES.items()},
    **dict.fromkeys(("large-v3", "large"), (128, 1280, 32, 51_866)),
    **dict.fromkeys(("large-v3-turbo", "turbo"), (128, 1280, 4, 51_866)),
}

_loaded: dict[tuple[Weights, int, int, int], SpeechModel] = {}


def load(weights: Weights, threads: int) -> SpeechModel:
    """Return the model; the last one is kept, and serves until other weights are asked for.

    It works on a graphics processor where its library finds one.

    :param threads: that it may keep busy.
    :raises Permanent: what lies there can't be read as weights.
    """
    status = (weights.path / MODEL_FILE if weights.is_converted else weights.path).stat()
    key = weights, status.st_mtime_ns, status.st_size, threads
    if key not in _loaded:
        _loaded.clear()
        try:
            _loaded[key] = _converted(weights, threads) if weights.is_converted else _plain(weights, threads)
        except Exception as error:  # whatever torch, pickle, gzip or CTranslate2 say of a file that is no model
            words = " ".join(str(error).split())[:200]
            raise Permanent(
                f"the model {weights.path} can't be loaded ({type(error).__name__}: {words})",
                remedy=_anew(weights),
                path=str(weights.path),
            ) from error
    return _loaded[key]


def _anew(weights: Weights) -> str:
    if weights.is_converted:  # what is there, `convert` takes for made
        return f"remove that folder and make it again with `amphipod models convert {weights.name or 'FILE FOLDER'}`"
    return f"fetch it again with `amphipod models pull {weights.name}`" if weights.name else "check the file"


def _converted(weights: Weights, threads: int) -> SpeechModel:
    import ctranslate2

    from plugins.transcript.decoding.ctranslate2_model import ConvertedModel

    device = "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
    return ConvertedModel(weights.path, device, threads)


def _plain(weights: Weights, threads: int) -> SpeechModel:
    import torch

    from plugins.transcript.decoding.whisper_model import TorchModel

    torch.set_num_threads(threads)
    return TorchModel(read(weights.path, "cuda" if torch.cuda.is_available() else "cpu"))


def read(path: Path, device: str) -> Whisper:
    """Read weights in OpenAI's format; the heads that place words in time are known by the file's name or its sizes."""
    import whisper

    with _unpacked(path) as plain:
        model = whisper.load_model(str(plain), device=device)
    if heads := alignment_heads(model.dims, path):
        model.set_alignment_heads(heads)
    return model.eval()


@contextmanager
def _unpacked(path: Path) -> Iterator[Path]:
    if path.suffix != ".gz":
        yield path
        return
    with tempfile.NamedTemporaryFile(suffix=".pt") as plain:
        with gzip.open(path) as packed:
            shutil.copyfileobj(packed, plain)
        plain.flush()
        yield Path(plain.name)


def alignment_heads(dimensions: ModelDimensions, path: Path) -> bytes | None:
    """Return whisper's record of the heads that look where the sound is, for weights of an official shape.

    Some shapes have two: then the file's name decides, and the later of them where it says nothing.
    """
    import whisper

    shape = dimensions.n_mels, dimensions.n_audio_state, dimensions.n_text_layer, dimensions.n_vocab
    shaped = {name: heads for name, heads in whisper._ALIGNMENT_HEADS.items() if _SHAPES[name] == shape}
    names = [name for name in shaped if OFFICIAL[name] == path.name.split(".pt")[0]] or list(shaped)
    return shaped[names[-1]] if names else None
