"""The softmax over the catalog, a chunk of rows at a time and in tiles of items.

Cross-entropy, log-probabilities, divergences, entropy, top-k and sampling are functions of this
one engine. No more than a chunk's logits are ever held.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqrec.losses.bias import LogitBias, Rows, add_bias, mask_items
from seqrec.losses.chunks import chunk_rows, maximum_over_items, row_sums, sum_over_items
from seqrec.losses.host import read_on_host

TILE_ITEMS = 2**17
HELD_BYTES = 2**28
"""Most bytes of all arrays of a chunk's logits together, however large the catalog is."""

SUMMED_ROWS = 512
"""Rows whose part in the gradient of item vectors is formed in the precision of products, at most,
before it is added up."""
SAFE_LOGIT = 60.0
"""Exponentials of logits below it, summed over any catalog, stay finite where the exponent has
the range of float32's."""

Tiles = list[Tensor]
"""A chunk's logits, by tile of the catalog; the caller may write to them."""


class CatalogScores(NamedTuple):
    """The distribution of every row: the softmax of ``hidden @ item_weight.T + bias``."""

    hidden: Float[Tensor, "N D"]
    item_weight: Float[Tensor, "I D"]
    logit_bias: LogitBias | None = None
    """Finite: the logit of an excluded item is far below all others."""

    def logits(self, items: slice) -> Float[Tensor, "N tile"]:
        """Return the logits of all rows for a range of items; in float32 or better with a bias."""
        logits = self.hidden @ self.item_weight[items].T
        if self.logit_bias is not None:
            logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
            add_bias(logits, self.logit_bias, slice(None), items)
        return logits


class Chunk(NamedTuple):
    """Exponentials and label log-probabilities of some rows."""

    rows: slice
    exponentials: Tiles
    """``exp(logit - shift)`` by tile of the catalog, in the precision of the products."""
    normalizer: Float[Tensor, "C 1"]
    """Sum of the exponentials: they divided by it are the probabilities."""
    log_prob: Float[Tensor, "C K"]
    """Log-probabilities of the rows' labels."""


class Separated(NamedTuple):
    """Some rows with some items separated from the softmax."""

    logits: Float[Tensor, "C L"]
    """Logits of the separated items."""
    exponentials: Tiles
    """Exponentials of all other items, from a shift of their own."""
    normalizer: Float[Tensor, "C 1"]
    """Sum of these exponentials, above 0."""
    log_mass: Float[Tensor, "C 1"]
    """Log of the sum of exponentials of the other items' unshifted logits."""


class CatalogSoftmax:
    """One model's logits against the catalog, at a temperature, and the softmax of them.

    Logits have the precision of the products; normalizers and sums are float32 or better. A
    softmax is the same whatever number is subtracted from a row's logits. The row's maximum, which
    keeps exponentials finite, costs two passes over the chunk; where no logit can be large
    (Cauchy-Schwarz), nothing is subtracted on a CPU.
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
        largest_logit = read_on_host(largest)
        is_small = largest_logit is not None and largest_logit < SAFE_LOGIT
        self.is_safe = self.logit_bias is None and has_range and is_small
        self._buffers: list[Tensor] = []

    def chunks(
        self,
        chunk_size: int | None,
        *,
        num_models: int = 1,
        num_arrays: int = 0,
        has_item_gradient: bool = False,
    ) -> Iterator[slice]:
        """Yield ranges of rows that are scored at once.

        Args:
            chunk_size: rows of a chunk; chosen if absent.
            num_models: models whose logits of these rows stay in the caches together.
            num_arrays: arrays of logits that ``HELD_BYTES`` bounds; 0: no bound.
            has_item_gradient: whether every chunk adds to the gradient of the item vectors. In
                less than float32 that costs a pass over the whole table, and chunks are larger.
        """
        num_rows, num_items = len(self.hidden), len(self.item_weight)
        if chunk_size is None:
            chunk_size = chunk_rows(num_rows, num_models * num_items, self.hidden.device)
            row_bytes = max(num_items, 1) * self.hidden.element_size()
            if has_item_gradient and self.dtype != self.sum_dtype:
                chunk_size = max(chunk_size, min(SUMMED_ROWS, HELD_BYTES // row_bytes, num_rows))
            if num_arrays:
                chunk_size = min(chunk_size, max(HELD_BYTES // (num_arrays * row_bytes), 1))
        for start in range(0, num_rows, chunk_size):
            yield slice(start, min(start + chunk_size, num_rows))

    def raw_logits(self, rows: Rows, room: "CatalogSoftmax | None" = None) -> Tiles:
        """Return the logits of some rows, by tile; they live until the next call.

        Args:
            rows: which rows.
            room: a softmax of the same precision, whose buffers are written to; its own if absent.
        """
        part, held = self.hidden[rows], room or self
        if not held._buffers or len(held._buffers[0]) < len(part):
            held._buffers = [part.new_empty(len(part), t.stop - t.start) for t in self.tiles]
        logits = [buffer[: len(part)] for buffer in held._buffers]
        for tile, out in zip(self.tiles, logits, strict=True):
            torch.mm(part, self.item_weight[tile].T, out=out)
            add_bias(out, self.logit_bias, rows, tile, self.temperature)
        return logits

    def shift(self, tiles: Tiles) -> Float[Tensor, "C 1"] | None:
        """Subtract the rows' maxima in place and return them; None if none is needed."""
        if self.is_safe:
            return None
        shift = maximum_over_items(tiles)
        for tile in tiles:
            tile -= shift
        return shift

    def logits(self, rows: Rows, room: "CatalogSoftmax | None" = None) -> Tiles:
        """Return ``raw_logits``, shifted so that exponentials are finite."""
        tiles = self.raw_logits(rows, room)
        self.shift(tiles)
        return tiles

    def chunk(self, rows: slice, labels: Int[Tensor, "C K"]) -> Chunk:
        """Return the exponentials of some rows and the log-probabilities of their labels."""
        tiles, label_logit = self.raw_logits(rows), None
        if self.logit_bias is None:
            products = self.hidden[rows, None].to(self.sum_dtype) * self.item_weight[labels]
            label_logit = products.sum(dim=2).to(self.dtype)  # rounded as the products are
        shift = self.shift(tiles)
        if label_logit is None:
            label_logit = self.at_items(tiles, labels)
        elif shift is not None:
            label_logit -= shift
        exponentials = [tile.exp_() for tile in tiles]
        normalizer = self.sums(exponentials)
        return Chunk(rows, exponentials, normalizer, label_logit - normalizer.log())

    def separate(self, tiles: Tiles, items: Int[Tensor, "C L"]) -> Separated:
        """Separate items from a chunk's logits, which become the exponentials of the others.

        1 minus the items' probability would be rounding error if one of them is nearly certain.
        Therefore the mass of the others is summed without them, after a shift of its own.
        """
        logits = self.at_items(tiles, items)
        for tile, of_tile in zip(self.tiles, tiles, strict=True):
            mask_items(of_tile, items, tile)
        shift = self.shift(tiles)
        exponentials = [tile.exp_() for tile in tiles]
        normalizer = self.sums(exponentials).clamp_min(torch.finfo(self.sum_dtype).tiny)
        log_mass = normalizer.log() if shift is None else normalizer.log() + shift
        return Separated(logits, exponentials, normalizer, log_mass)

    def sums(self, tiles: Sequence[Float[Tensor, "C _"]]) -> Float[Tensor, "C 1"]:
        """Return the sum of every row over all tiles, in the precision of sums."""
        return sum_over_items([row_sums(tile, self.sum_dtype) for tile in tiles])

    def exponential_sums(self, tiles: Tiles) -> Float[Tensor, "C 1"]:
        """Return the sum of exponentials of every row; the logits stay as they are."""
        return sum_over_items([row_sums(tile.exp(), self.sum_dtype) for tile in tiles])

    def at_items(
        self, tiles: Sequence[Float[Tensor, "C _"]], items: Int[Tensor, "C K"]
    ) -> Float[Tensor, "C K"]:
        """Return the values of tiles at some items of every row, in the precision of sums."""
        parts = []
        for tile, of_tile in zip(self.tiles, tiles, strict=True):
            is_here = (items >= tile.start) & (items < tile.stop)
            values = of_tile.gather(1, (items - tile.start).where(is_here, 0))
            parts.append((values * is_here).to(self.sum_dtype))
        return sum_over_items(parts)

    def add_at_items(
        self,
        tiles: Sequence[Float[Tensor, "C _"]],
        items: Int[Tensor, "C K"],
        values: Float[Tensor, "C K"],
    ) -> None:
        """Add values to tiles at some items of every row."""
        values = values.to(self.dtype)
        for tile, of_tile in zip(self.tiles, tiles, strict=True):
            is_here = (items >= tile.start) & (items < tile.stop)
            of_tile.scatter_add_(1, (items - tile.start).where(is_here, 0), values * is_here)


def largest_norm(rows: Float[Tensor, "N D"]) -> Float[Tensor, ""]:
    """Return the largest Euclidean norm of a row; 0 without rows."""
    if not len(rows):
        return rows.new_zeros(())
    return torch.linalg.vector_norm(rows, dim=1).amax()
