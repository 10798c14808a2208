"""The mean distribution of several teachers, and its most probable items."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqrec.losses.softmax import CatalogScores, CatalogSoftmax, Tiles


class TopKDistribution(NamedTuple):
    """The most probable items of every row, and the mass of all others."""

    items: Int[Tensor, "N K"]
    """Different items."""
    log_prob: Float[Tensor, "N K"]
    tail_mass: Float[Tensor, " N"]
    """The probability of all other items together."""


def mean_logits(teachers: Sequence[CatalogSoftmax], rows: slice) -> Tiles:
    """Return logits of the mean of the teachers' probabilities, by tile.

    They are added as logarithms, because probabilities underflow at low temperatures.
    """
    first, *others = teachers
    mean = first.logits(rows)
    normalizer: Any = first.exponential_sums(mean).log() if others else 0.0
    for teacher in others:
        is_alike = teacher.dtype == others[0].dtype
        tiles = teacher.logits(rows, others[0] if is_alike else None)
        own = teacher.exponential_sums(tiles).log()
        for of_mean, of_tile in zip(mean, tiles, strict=True):
            of_mean.copy_(torch.logaddexp(of_mean - normalizer, of_tile - own))
        normalizer = 0.0
    return mean


def top_of_tiles(
    tiles: Sequence[Float[Tensor, "C _"]], softmax: CatalogSoftmax, k: int
) -> tuple[Int[Tensor, "C K"], Float[Tensor, "C K"]]:
    """Return the ``k`` items of the largest values of every row, largest first, and the values."""
    candidates = [tile.topk(min(k, tile.shape[1]), dim=1) for tile in tiles]
    items = [c.indices + t.start for c, t in zip(candidates, softmax.tiles, strict=True)]
    values, index = torch.cat([c.values for c in candidates], dim=1).topk(k, dim=1)
    return torch.cat(items, dim=1).gather(1, index), values


@torch.no_grad()
def catalog_top_k(
    teachers: Sequence[CatalogScores], k: int, *, chunk_size: int | None = None
) -> TopKDistribution:
    """Return the ``k`` most probable items of every row, and the mass of the others.

    Args:
        teachers: one or several models, whose probabilities are averaged.
        k: number of items; at most the catalog.
        chunk_size: rows scored at once; chosen by the catalog's size if absent.
    """
    softmaxes = [CatalogSoftmax(teacher) for teacher in teachers]
    first = softmaxes[0]
    values = first.hidden.new_empty(0, k, dtype=first.sum_dtype)
    parts = [TopKDistribution(values.long(), values, values.sum(dim=1))]
    num_arrays = 1 + (len(softmaxes) > 1)
    for rows in first.chunks(chunk_size, num_models=2, num_arrays=num_arrays):
        tiles = mean_logits(softmaxes, rows)
        items, values = top_of_tiles(tiles, first, k)
        log_prob = values.to(first.sum_dtype) - first.exponential_sums(tiles).log()
        tail_mass = (1 - log_prob.exp().sum(dim=1)).clamp_min(0)
        parts.append(TopKDistribution(items, log_prob, tail_mass))
    return TopKDistribution(*map(torch.cat, zip(*parts, strict=True)))
