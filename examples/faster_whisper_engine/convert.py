"""Makes a folder for faster-whisper from a checkpoint in OpenAI's format, without a network.

python convert.py small.pt /srv/models/small-ct2
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
import whisper
from ctranslate2.specs import WhisperSpec
from whisper.tokenizer import get_tokenizer


def main(checkpoint: Path, folder: Path) -> None:
    """Convert weights, vocabulary and tokenizer."""
    model = whisper.load_model(str(checkpoint), device="cpu")
    # Files that carry an official name have their alignment heads known by it.
    if heads := whisper._ALIGNMENT_HEADS.get(checkpoint.stem):
        model.set_alignment_heads(heads)
    tokens = vocabulary(model)
    spec = WhisperSpec(
        model.dims.n_audio_layer, model.dims.n_audio_head, model.dims.n_text_layer, model.dims.n_text_head
    )
    fill(spec, {name: value.float().numpy() for name, value in model.state_dict().items() if not value.is_sparse})
    tokenizer = get_tokenizer(model.is_multilingual, num_languages=model.num_languages)
    spec.config.lang_ids = list(tokenizer.all_language_tokens)
    spec.config.suppress_ids = list(tokenizer.non_speech_tokens)
    spec.config.suppress_ids_begin = [*tokenizer.encode(" "), tokenizer.eot]
    spec.config.alignment_heads = model.alignment_heads.indices().T.tolist()
    spec.register_vocabulary(tokens)
    spec.validate()
    spec.optimize(quantization="float16")
    folder.mkdir(parents=True, exist_ok=True)
    spec.save(str(folder))
    save_tokenizer(tokens, tokenizer.encoding, folder / "tokenizer.json")
    if model.dims.n_mels != 80:
        (folder / "preprocessor_config.json").write_text(f'{{"feature_size": {model.dims.n_mels}}}')


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


def vocabulary(model: whisper.Whisper) -> list[str]:
    """Return every token as text, bytes spelled as GPT-2's tokenizer files spell them."""
    tokenizer = get_tokenizer(model.is_multilingual, num_languages=model.num_languages)
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


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
