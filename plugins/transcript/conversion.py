"""OpenAI's weights in the form that CTranslate2 runs; without a network and without transformers."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tokenizers
from ctranslate2.specs import WhisperSpec

from core.errors import BadCall
from plugins.transcript.loading import read
from plugins.transcript.tokenizer import tokenizer_of
from plugins.transcript.weights import CONVERTED, MODEL_FILE, OFFICIAL, Weights, missing

if TYPE_CHECKING:
    from whisper import Whisper


def made(model: str, to: Path | None, place: Path) -> Path:
    """Return a folder for CTranslate2, made of a file, or of official weights that lie in `place`; unless it is there.

    :raises BadCall: a file needs a folder to be named.
    :raises Permanent: there are no such weights here.
    """
    source = Weights(model, place / f"{OFFICIAL[model]}.pt") if model in OFFICIAL else Weights(None, Path(model))
    if not source.path.is_file():
        raise missing(model, source)
    if to is None and not source.name:
        raise BadCall(f"{model} has no name that says where to", remedy="name a folder behind it")
    folder = to or place / f"{OFFICIAL[model]}{CONVERTED}"
    if (folder / MODEL_FILE).is_file():
        return folder
    if folder.exists():
        raise BadCall(f"{folder} is there and holds no model", remedy="name a folder that is not there yet")
    convert(source.path, folder)
    return folder


def convert(checkpoint: Path, folder: Path) -> None:
    """Write weights, vocabulary and tokenizer into a folder that isn't there yet: whole, or not at all.

    The folder serves faster-whisper too. Weights are kept in 16 bits; how they are run is said when they are loaded.
    """
    model = read(checkpoint, "cpu")
    tokens = vocabulary(model)
    spec = WhisperSpec(
        model.dims.n_audio_layer, model.dims.n_audio_head, model.dims.n_text_layer, model.dims.n_text_head
    )
    fill(spec, {name: value.float().numpy() for name, value in model.state_dict().items() if not value.is_sparse})
    tokenizer = tokenizer_of(multilingual=model.is_multilingual, languages=model.num_languages)
    spec.config.lang_ids = list(tokenizer.all_language_tokens)
    spec.config.suppress_ids = list(tokenizer.non_speech_tokens)
    spec.config.suppress_ids_begin = [*tokenizer.encode(" "), tokenizer.eot]
    spec.config.alignment_heads = model.alignment_heads.indices().T.tolist()
    spec.register_vocabulary(tokens)
    spec.validate()
    spec.optimize(quantization="float16")
    partial = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    spec.save(str(partial))
    save_tokenizer(tokens, tokenizer.encoding, partial / "tokenizer.json")
    if model.dims.n_mels != 80:
        (partial / "preprocessor_config.json").write_text(f'{{"feature_size": {model.dims.n_mels}}}')
    partial.rename(folder)


def fill(spec: Any, weights: Mapping[str, np.ndarray]) -> None:
    """Hang OpenAI's weights where CTranslate2 looks for them."""

    def linear(target: Any, *names: str) -> None:
        target.weight = np.concatenate([weights[f"{name}.weight"] for name in names])
        # Keys have no bias.
        zeros = np.zeros_like(weights[f"{names[0]}.bias"] if f"{names[0]}.bias" in weights else target.weight[:, 0])
        target.bias = np.concatenate([weights.get(f"{name}.bias", zeros) for name in names])

    def norm(target: Any, name: str) -> None:
        target.gamma, target.beta = weights[f"{name}.weight"], weights[f"{name}.bias"]

    def layer(target: Any, name: str) -> None:
        norm(target.self_attention.layer_norm, f"{name}.attn_ln")
        linear(target.self_attention.linear[0], *(f"{name}.attn.{part}" for part in ("query", "key", "value")))
        linear(target.self_attention.linear[1], f"{name}.attn.out")
        norm(target.ffn.layer_norm, f"{name}.mlp_ln")
        linear(target.ffn.linear_0, f"{name}.mlp.0")
        linear(target.ffn.linear_1, f"{name}.mlp.2")

    for number, one in enumerate(spec.encoder.layer):
        layer(one, f"encoder.blocks.{number}")
    for number, one in enumerate(spec.decoder.layer):
        name = f"decoder.blocks.{number}"
        layer(one, name)
        norm(one.attention.layer_norm, f"{name}.cross_attn_ln")
        linear(one.attention.linear[0], f"{name}.cross_attn.query")
        one.attention.linear[1].weight = np.concatenate(
            [weights[f"{name}.cross_attn.{part}.weight"] for part in ("key", "value")]
        )
        value = weights[f"{name}.cross_attn.value.bias"]
        one.attention.linear[1].bias = np.concatenate([np.zeros_like(value), value])
        linear(one.attention.linear[2], f"{name}.cross_attn.out")
    for conv in ("conv1", "conv2"):
        target = getattr(spec.encoder, conv)
        target.weight, target.bias = weights[f"encoder.{conv}.weight"], weights[f"encoder.{conv}.bias"]
    spec.encoder.position_encodings.encodings = weights["encoder.positional_embedding"]
    norm(spec.encoder.layer_norm, "encoder.ln_post")
    spec.decoder.embeddings.weight = weights["decoder.token_embedding.weight"]
    spec.decoder.position_encodings.encodings = weights["decoder.positional_embedding"]
    norm(spec.decoder.layer_norm, "decoder.ln")
    spec.decoder.projection.weight = weights["decoder.token_embedding.weight"]


def vocabulary(model: Whisper) -> list[str]:
    """Return every token as text, bytes spelled as GPT-2's tokenizer files spell them."""
    tokenizer = tokenizer_of(multilingual=model.is_multilingual, languages=model.num_languages)
    encoding = tokenizer.encoding
    plain = [spelled(encoding.decode_single_token_bytes(number)) for number in range(tokenizer.eot)]
    special = {number: name for name, number in encoding._special_tokens.items()}
    return plain + [special[number] for number in range(tokenizer.eot, model.dims.n_vocab)]


_PRINTABLE = [*range(33, 127), *range(161, 173), *range(174, 256)]
_HIDDEN = [byte for byte in range(256) if byte not in _PRINTABLE]
_SPELLING = {byte: chr(byte) for byte in _PRINTABLE} | {byte: chr(256 + at) for at, byte in enumerate(_HIDDEN)}


def spelled(token: bytes) -> str:
    return "".join(_SPELLING[byte] for byte in token)


def save_tokenizer(tokens: list[str], encoding: Any, path: Path) -> None:
    """Write the byte-pair encoding in Hugging Face's format; a merge is told by the two halves of what it makes."""
    ranks = encoding._mergeable_ranks
    merges = []
    for token, rank in sorted(ranks.items(), key=lambda entry: entry[1]):
        if len(token) > 1:
            one, other = halves(token, rank, ranks)
            merges.append((spelled(one), spelled(other)))
    vocabulary = {token: number for number, token in enumerate(tokens[: encoding.eot_token])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.add_special_tokens(tokens[encoding.eot_token :])
    tokenizer.save(str(path))


def halves(token: bytes, rank: int, ranks: Mapping[bytes, int]) -> tuple[bytes, bytes]:
    """Merge the bytes of a token by rank, as the encoding does, until two parts are left."""
    parts = [token[at : at + 1] for at in range(len(token))]
    while len(parts) > 2:
        pairs = [ranks.get(parts[at] + parts[at + 1], rank) for at in range(len(parts) - 1)]
        at = min(range(len(pairs)), key=pairs.__getitem__)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts[0], parts[1]
