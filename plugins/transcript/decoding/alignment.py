"""Where tokens lie in a window's sound, by which of it the model looks at as it writes each: whisper/timing.py's way.

Only the heads that look where the sound is are computed, and the path through them by numpy: whisper's own keeps every
head of every layer, and compiles its path anew in each process.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.functional import pad

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor
    from whisper import Whisper
    from whisper.tokenizer import Tokenizer

#: Frames of which each weight is the median (whisper/timing.py, medfilt_width).
_MEDIAN = 7


@torch.no_grad()
def attended(
    model: Whisper, features: Tensor, tokens: Sequence[int], tokenizer: Tokenizer, frames: int
) -> tuple[NDArray[np.float64], Sequence[float]]:
    """Return how much of each encoder frame each text token and the end are about, and how likely each token was.

    :param features: of the encoder, frames x width.
    :param frames: of 20 ms that are no padding.
    """
    before = [*tokenizer.sot_sequence, tokenizer.no_timestamps]
    heads: dict[int, list[int]] = {}
    for layer, head in model.alignment_heads.indices().T.tolist():
        heads.setdefault(layer, []).append(head)
    looked: dict[int, Tensor] = {}
    hooks = []
    for layer in heads:
        attention: Any = model.decoder.blocks[layer].cross_attn
        hooks.append(attention.register_forward_hook(_keeps(looked, layer, heads[layer], frames)))
    try:
        text = torch.tensor([[*before, *tokens, tokenizer.eot]], device=model.device)
        logits = model.decoder(text, features.unsqueeze(0))[0, len(before) - 1 : -2, : tokenizer.eot]
    finally:
        for hook in hooks:
            hook.remove()
    written = logits[range(len(tokens)), list(tokens)] - logits.logsumexp(-1)
    weights = torch.cat([looked[layer] for layer in heads]).softmax(-1)
    deviation, mean = torch.std_mean(weights, dim=-2, keepdim=True, unbiased=False)
    # head by head: sorting takes twenty times the memory of what is sorted
    matrix = torch.stack([median_filtered(head, _MEDIAN) for head in (weights - mean) / deviation]).mean(0)
    return matrix[len(before) - 1 : -1].double().cpu().numpy(), written.exp().tolist()


def _keeps(looked: dict[int, Tensor], layer: int, heads: Sequence[int], frames: int) -> Any:
    def keep(attention: Any, given: tuple[Tensor, ...], _made: Any) -> None:
        text, sound = given[:2]
        query, key = (
            part[0].unflatten(-1, (attention.n_head, -1))[:, heads].transpose(0, 1).float()
            for part in (attention.query(text), attention.key(sound[:, :frames]))
        )
        looked[layer] = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5

    return keep


def median_filtered(weights: Tensor, width: int) -> Tensor:
    """Return the medians of `width` neighbours in the last dimension."""
    margin = width // 2
    if weights.shape[-1] <= margin:
        return weights
    return pad(weights, (margin, margin), mode="reflect").unfold(-1, width, 1).sort()[0][..., margin]


def path(matrix: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the way from the first field to the last on which most is gathered, as rows of a row and a column.

    A step goes to the next row, the next column or both: dynamic time warping.
    """
    rows, columns = matrix.shape
    costs = np.full((rows + 1, columns + 1), np.inf)
    costs[0, 0] = 0
    for row in range(1, rows + 1):
        above = np.minimum(costs[row - 1, :-1], costs[row - 1, 1:])
        # each field costs its own and the least of what is above it and of the one before: the least of a running sum
        sums = -np.cumsum(matrix[row - 1])
        costs[row, 1:] = sums + np.minimum.accumulate(above - np.concatenate([[0.0], sums[:-1]]))
    row, column = rows, columns
    steps = []
    while row > 0 and column > 0:
        steps.append((row - 1, column - 1))
        both, down, along = costs[row - 1, column - 1], costs[row - 1, column], costs[row, column - 1]
        if both < down and both < along:
            row, column = row - 1, column - 1
        elif down < both and down < along:
            row -= 1
        else:
            column -= 1
    return np.array(steps[::-1])
