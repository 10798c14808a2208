"""The gradients of hidden states and item vectors, accumulated chunk by chunk."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqrec.losses.host import read_on_host
from seqrec.losses.softmax import CatalogSoftmax, Chunk


class HeadGradients:
    """Gradients of ``hidden`` and ``item_weight``, to which every chunk adds its part.

    Probabilities are never formed: their normalizers scale the smaller factors.
    """

    def __init__(self, softmax: CatalogSoftmax, *, has_items: bool = True) -> None:
        """Start from 0.

        Args:
            softmax: of the rows.
            has_items: whether the item vectors have a gradient; without it a product and its
                memory are saved.
        """
        self.softmax = softmax
        self.hidden = torch.zeros_like(softmax.hidden, dtype=softmax.sum_dtype)
        self.item_weight: Tensor | None = None
        if has_items:
            self.item_weight = torch.zeros_like(softmax.item_weight, dtype=softmax.sum_dtype)
            self._tile_buffer = torch.empty_like(softmax.item_weight[softmax.tiles[0]])

    def add(
        self, rows: slice, tiles: Sequence[Float[Tensor, "C _"]], scale: Float[Tensor, "C 1"]
    ) -> None:
        """Add the part of some rows, whose logits have the gradients ``tiles * scale``."""
        softmax, is_whole = self.softmax, self.softmax.dtype == self.softmax.sum_dtype
        scaled = (softmax.hidden[rows].to(softmax.sum_dtype) * scale).to(softmax.dtype)
        towards = self.hidden[rows]
        for tile, gradient in zip(softmax.tiles, tiles, strict=True):
            towards += torch.mm(gradient, softmax.item_weight[tile])
            if self.item_weight is None:
                continue
            into = self.item_weight[tile]
            if is_whole:
                into.addmm_(gradient.T, scaled)
            else:
                into += torch.mm(gradient.T, scaled, out=self._tile_buffer[: len(into)])
        towards *= scale / softmax.temperature

    def add_at_items(
        self, rows: slice, items: Int[Tensor, "C K"], gradient: Float[Tensor, "C K"]
    ) -> None:
        """Add the part of gradients of some items' logits, at temperature 1."""
        softmax, gradient = self.softmax, gradient[:, :, None]
        hidden = softmax.hidden[rows].to(softmax.sum_dtype)
        self.hidden[rows] += (softmax.item_weight[items] * gradient).sum(dim=1)
        if self.item_weight is None:
            return
        from_items = (hidden[:, None] * gradient).flatten(0, 1)
        self.item_weight.index_add_(0, items.flatten(), from_items)

    def add_log_prob(
        self, chunk: Chunk, labels: Int[Tensor, "C K"], upstream: Float[Tensor, "C K"]
    ) -> None:
        """Add the gradients of ``(upstream * log_prob).sum()`` over the rows of a chunk.

        They are ``upstream * (one_hot(label) - probabilities)`` times weights and hidden states.
        """
        scale = -upstream.sum(dim=1, keepdim=True) / chunk.normalizer
        self.add(chunk.rows, chunk.exponentials, scale)
        self.add_at_items(chunk.rows, labels, upstream)


def scaled_by(
    tensors: tuple[Tensor | None, ...], factor: Tensor, dtypes: tuple[torch.dtype, ...]
) -> tuple[Tensor | None, ...]:
    """Return the tensors times a factor, without a copy where the host knows that it is 1.

    Args:
        tensors: gradients; None stays None.
        factor: the upstream gradient.
        dtypes: the precision of each result.
    """
    is_one = read_on_host(factor) == 1
    scaled = tensors if is_one else [one if one is None else one * factor for one in tensors]
    pairs = zip(scaled, dtypes, strict=True)
    return tuple(None if one is None else one.to(dtype) for one, dtype in pairs)
