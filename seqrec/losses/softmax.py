"""A model's logits against the catalog, a chunk of rows at a time, and what is made of them.

Divergences, cached answers and slates are formed so: no model's scores are ever held whole.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqrec.losses.catalog import (
    SAFE_LOGIT,
    TILE_ITEMS,
    LogitBias,
    add_bias,
    chunk_rows,
    largest_norm,
    row_sums,
)

HELD_BYTES = 2**28
"""Of all arrays of a chunk's logits together, at most, however large the catalog is."""
Tiles = list[Tensor]
"""Logits of a chunk, by tile; who asks for them may write to them."""


class CatalogScores(NamedTuple):
    """What gives every row a distribution: the softmax of ``hidden @ item_weight.T + bias``."""

    hidden: Float[Tensor, "N D"]
    item_weight: Float[Tensor, "I D"]
    logit_bias: LogitBias | None = None
    """Finite: to leave items out, a number far below all logits."""

    def logits(self, items: slice) -> Float[Tensor, "N tile"]:
        """The logits of all rows for a range of items, in float32 or better where a bias is."""
        logits = self.hidden @ self.item_weight[items].T
        if self.logit_bias is not None:
            logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
            add_bias(logits, self.logit_bias, slice(None), items)
        return logits


class Logits:
    """A model's logits against the catalog, a chunk of rows at a time, in tiles of items.

    They have the precision of the products, and are divided by a temperature.
    """

    def __init__(self, scores: CatalogScores, temperature: float = 1.0) -> None:
        hidden, num_items = scores.hidden, len(scores.item_weight)
        self.dtype = hidden.dtype
        if torch.is_autocast_enabled(hidden.device.type):
            self.dtype = torch.get_autocast_dtype(hidden.device.type)
        self.sum_dtype = torch.promote_types(self.dtype, torch.float32)
        self.temperature = temperature
        self.hidden = (hidden if temperature == 1 else hidden / temperature).to(self.dtype)
        self.item_weight = scores.item_weight.to(self.dtype)
        self.logit_bias = scores.logit_bias
        starts = range(0, num_items, TILE_ITEMS)
        self.tiles = [slice(start, min(start + TILE_ITEMS, num_items)) for start in starts]
        has_range = torch.finfo(self.dtype).max >= torch.finfo(torch.bfloat16).max
        largest = largest_norm(hidden) * largest_norm(scores.item_weight) / temperature
        self.is_safe = self.logit_bias is None and has_range and bool(largest < SAFE_LOGIT)
        self._buffers: list[Tensor] = []

    def chunks(self, chunk_size: int | None, num_arrays: int = 2) -> Iterator[slice]:
        """Rows scored at once: two models' logits of them stay in the caches, or in memory.

        Args:
            chunk_size: how many; chosen if absent.
            num_arrays: arrays of their logits that are held.
        """
        num_rows, num_items = len(self.hidden), len(self.item_weight)
        if chunk_size is None:
            chunk_size = chunk_rows(num_rows, 2 * num_items, self.hidden.device)
            row_bytes = max(num_items, 1) * self.hidden.element_size()
            chunk_size = min(chunk_size, max(HELD_BYTES // (num_arrays * row_bytes), 1))
        for start in range(0, num_rows, chunk_size):
            yield slice(start, min(start + chunk_size, num_rows))

    def fill(self, rows: slice, room: "Logits | None" = None) -> Tiles:
        """The logits of some rows, by tile; they live until the next call.

        From each row a number may be subtracted, so that exponentials are finite.

        Args:
            rows: which.
            room: of the same precision, whose room is written to; its own if absent.
        """
        part, held = self.hidden[rows], room or self
        if not held._buffers or len(held._buffers[0]) < len(part):
            held._buffers = [part.new_empty(len(part), t.stop - t.start) for t in self.tiles]
        logits = [buffer[: len(part)] for buffer in held._buffers]
        for tile, out in zip(self.tiles, logits, strict=True):
            torch.mm(part, self.item_weight[tile].T, out=out)
            add_bias(out, self.logit_bias, rows, tile, self.temperature)
        if not self.is_safe:
            shift = torch.stack([of_tile.amax(dim=1) for of_tile in logits]).amax(dim=0)
            for of_tile in logits:
                of_tile -= shift[:, None]
        return logits


class HeadGradients:
    """The gradients of hidden states and item vectors, gathered chunk by chunk."""

    def __init__(self, logits: Logits) -> None:
        self.logits = logits
        self.hidden = torch.zeros_like(logits.hidden, dtype=logits.sum_dtype)
        self.item_weight = torch.zeros_like(logits.item_weight, dtype=logits.sum_dtype)
        self._of_tile = torch.empty_like(logits.item_weight[:TILE_ITEMS])

    def add(
        self, rows: slice, tiles: Sequence[Float[Tensor, "C _"]], scale: Float[Tensor, "C 1"]
    ) -> None:
        """Add what logits of some rows give whose gradients are ``tiles``, row by row scaled."""
        logits, is_whole = self.logits, self.logits.dtype == self.logits.sum_dtype
        scaled = (logits.hidden[rows].to(logits.sum_dtype) * scale).to(logits.dtype)
        towards = self.hidden[rows]
        for tile, gradient in zip(logits.tiles, tiles, strict=True):
            towards += torch.mm(gradient, logits.item_weight[tile])
            into = self.item_weight[tile]
            if is_whole:
                into.addmm_(gradient.T, scaled)
            else:
                into += torch.mm(gradient.T, scaled, out=self._of_tile[: len(into)])
        towards *= scale / logits.temperature


def share_of_rows(
    hidden: Float[Tensor, "N D"],
    row_weight: Float[Tensor, " N"] | None,
    total_weight: float | None,
) -> Float[Tensor, " N"]:
    """The share of every row in a weighted mean, in float32 or better."""
    dtype = torch.promote_types(hidden.dtype, torch.float32)
    weight = torch.ones(len(hidden), dtype=dtype, device=hidden.device)
    if row_weight is not None:
        weight = row_weight.to(dtype)
    total = weight.sum() if total_weight is None else weight.new_tensor(total_weight)
    return weight / total.clamp_min(torch.finfo(dtype).tiny)


def exponential_sums(tiles: Tiles, logits: Logits) -> Float[Tensor, "C 1"]:
    """Of every row, the sum of the exponentials of its logits."""
    return sum(row_sums(of_tile.exp(), logits.sum_dtype) for of_tile in tiles)  # type: ignore[return-value]


def mean_logits(teachers: Sequence[Logits], rows: slice) -> Tiles:
    """Logits of the mean of the teachers' probabilities, by tile.

    They are added as logarithms: under a low temperature probabilities fall out of range.
    """
    first, *others = teachers
    mean = first.fill(rows)
    normalizer: Any = exponential_sums(mean, first).log() if others else 0.0
    for teacher in others:
        is_alike = teacher.dtype == others[0].dtype
        tiles = teacher.fill(rows, others[0] if is_alike else None)
        own = exponential_sums(tiles, teacher).log()
        for of_mean, of_tile in zip(mean, tiles, strict=True):
            of_mean.copy_(torch.logaddexp(of_mean - normalizer, of_tile - own))
        normalizer = 0.0
    return mean


@torch.no_grad()
def most_likely(
    teachers: Sequence[CatalogScores], k: int, *, chunk_size: int | None = None
) -> tuple[Int[Tensor, "N K"], Float[Tensor, "N K"], Float[Tensor, " N"]]:
    """The ``k`` likeliest items of every row, their log-probabilities, and the mass of the rest.

    Args:
        teachers: one or several, whose probabilities are averaged.
        k: how many; at most the catalog.
        chunk_size: rows scored at once; chosen by the catalog's size if absent.
    """
    teacher_logits = [Logits(teacher) for teacher in teachers]
    first = teacher_logits[0]
    found = []
    for rows in first.chunks(chunk_size, 1 + (len(teacher_logits) > 1)):
        tiles = mean_logits(teacher_logits, rows)
        candidates = [tile.topk(min(k, tile.shape[1]), dim=1) for tile in tiles]
        items = [c.indices + t.start for c, t in zip(candidates, first.tiles, strict=True)]
        values, place = torch.cat([c.values for c in candidates], dim=1).topk(k, dim=1)
        normalizer = exponential_sums(tiles, first)
        log_prob = values.to(first.sum_dtype) - normalizer.log()
        rest = (1 - log_prob.exp().sum(dim=1)).clamp_min(0)
        found.append((torch.cat(items, dim=1).gather(1, place), log_prob, rest))
    if not found:
        values = first.hidden.new_empty(0, k, dtype=first.sum_dtype)
        return values.long(), values, values.sum(dim=1)
    best, log_probs, rests = zip(*found, strict=True)
    return torch.cat(best), torch.cat(log_probs), torch.cat(rests)


def at_items(
    tiles: Sequence[Float[Tensor, "C _"]], logits: Logits, items: Int[Tensor, "C K"]
) -> Float[Tensor, "C K"]:
    """What tiles hold at some items of every row, in the precision of sums."""
    found = torch.zeros(items.shape, dtype=logits.sum_dtype, device=items.device)
    for tile, of_tile in zip(logits.tiles, tiles, strict=True):
        is_here = (items >= tile.start) & (items < tile.stop)
        found += of_tile.gather(1, (items - tile.start).where(is_here, 0)) * is_here
    return found


def add_at_items(
    tiles: Sequence[Float[Tensor, "C _"]],
    logits: Logits,
    items: Int[Tensor, "C K"],
    values: Float[Tensor, "C K"],
) -> None:
    """Add values to what tiles hold at some items of every row."""
    values = values.to(logits.dtype)
    for tile, of_tile in zip(logits.tiles, tiles, strict=True):
        is_here = (items >= tile.start) & (items < tile.stop)
        of_tile.scatter_add_(1, (items - tile.start).where(is_here, 0), values * is_here)
