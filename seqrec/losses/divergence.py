"""How far two models are apart, over the whole catalog."""

import torch
from jaxtyping import Float
from torch import Tensor

from seqrec.losses.catalog import TILE_ITEMS, LogitBias

KL_LOGITS = 2**22
"""Logits of each model that are held at once."""


@torch.no_grad()
def catalog_kl(
    hidden: Float[Tensor, "N D"],
    item_weight: Float[Tensor, "I D"],
    reference_hidden: Float[Tensor, "N E"],
    reference_item_weight: Float[Tensor, "I E"],
    *,
    logit_bias: LogitBias | None = None,
    reference_logit_bias: LogitBias | None = None,
    chunk_logits: int = KL_LOGITS,
) -> Float[Tensor, " N"]:
    """The exact ``KL(policy || reference)`` of every row's distribution, in nats.

    One pass over the catalog in tiles: the sums of ``exp(logit)`` of both and of the policy's
    ``exp(logit) * (logit - reference logit)`` are kept up to a shift that grows, so that a few
    numbers a row are held beside a tile. No gradient flows.

    Args:
        hidden: the policy's outputs.
        item_weight: the policy's item vectors.
        reference_hidden: the reference's outputs.
        reference_item_weight: the reference's item vectors.
        logit_bias: added to the policy's logits.
        reference_logit_bias: added to the reference's.
        chunk_logits: logits of each that are held at once.
    """
    num_items = len(item_weight)
    tile_items = min(TILE_ITEMS, num_items, chunk_logits)
    num_rows = max(chunk_logits // tile_items, 1)
    parts = [hidden.new_empty(0)]
    for start in range(0, len(hidden), num_rows):
        rows = slice(start, min(start + num_rows, len(hidden)))
        ours = _Sums(len(hidden[rows]), hidden)
        theirs = _Sums(len(hidden[rows]), hidden)
        for first in range(0, num_items, tile_items):
            tile = slice(first, min(first + tile_items, num_items))
            logits = _logits(hidden[rows], item_weight[tile], logit_bias, rows, tile)
            other = _logits(
                reference_hidden[rows],
                reference_item_weight[tile],
                reference_logit_bias,
                rows,
                tile,
            )
            ours.add(logits, logits - other)
            theirs.add(other, None)
        gap = ours.weighted / ours.total
        parts.append(gap - ours.log_total() + theirs.log_total())
    return torch.cat(parts)


class _Sums:
    """Of ``exp(logit - shift)``, and of it times a value, over the tiles so far."""

    def __init__(self, num_rows: int, like: Tensor) -> None:
        self.shift = like.new_full((num_rows,), -torch.inf)
        self.total = like.new_zeros(num_rows)
        self.weighted = like.new_zeros(num_rows)

    def add(self, logits: Float[Tensor, "C tile"], values: Float[Tensor, "C tile"] | None) -> None:
        shift = torch.maximum(self.shift, logits.amax(dim=1))
        scale = (self.shift - shift).exp()
        exponentials = (logits - shift[:, None]).exp()
        self.total = self.total * scale + exponentials.sum(dim=1)
        if values is not None:
            self.weighted = self.weighted * scale + (exponentials * values).sum(dim=1)
        self.shift = shift

    def log_total(self) -> Float[Tensor, " C"]:
        return self.shift + self.total.log()


def _logits(
    hidden: Float[Tensor, "C D"],
    item_weight: Float[Tensor, "tile D"],
    logit_bias: LogitBias | None,
    rows: slice,
    tile: slice,
) -> Float[Tensor, "C tile"]:
    logits = hidden @ item_weight.T
    return logits if logit_bias is None else logits + logit_bias(rows, tile)
