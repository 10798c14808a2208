"""Items drawn from the catalog: one at a time, or slates without replacement.

Memory does not grow with the catalog: rows are drawn a chunk at a time, and cumulative sums are
taken tile by tile.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqrec.losses import softmax as engine
from seqrec.losses.slate import slates_within_rows
from seqrec.losses.softmax import CatalogScores, CatalogSoftmax
from seqrec.losses.teachers import top_of_tiles

NUM_ARRAYS = 4
"""Arrays of a chunk: logits, cumulative sums in float64, exponentials of a tile."""


class DrawnSlates(NamedTuple):
    """Slates, and the log-probability of every item, given those before it."""

    items: Int[Tensor, "R G K"]
    log_prob: Float[Tensor, "R G K"]


@torch.no_grad()
def draw_slates(
    scores: CatalogScores,
    num_slates: int,
    slate_size: int,
    generator: torch.Generator | None,
) -> DrawnSlates:
    """Draw slates without replacement from each row's distribution.

    Items drawn with replacement, without repeats within a slate, have the Plackett-Luce order. Each
    draw inverts the cumulative probabilities, in float64. A slate that is not full after twice as
    many draws as items is completed in the order of Gumbel-perturbed logits of the other items.

    Args:
        scores: the distribution of every row.
        num_slates: slates of each row.
        slate_size: items of a slate.
        generator: source of the draws; None: the most probable items, in their order, in every
            slate.

    Source: Kool et al. 2019, arXiv:1903.06059, section 2.3, for the perturbed order.
    """
    softmax = CatalogSoftmax(scores)
    num_rows, device = len(scores.hidden), scores.hidden.device
    num_draws = 1 if slate_size == 1 else 2 * slate_size
    points = None
    if generator is not None:
        shape = (num_rows, num_slates * num_draws)
        points = torch.rand(shape, dtype=torch.float64, generator=generator, device=device)
    empty = scores.hidden.new_empty(0, num_slates, slate_size, dtype=softmax.sum_dtype)
    parts = [DrawnSlates(empty.long(), empty)]
    for rows in softmax.chunks(None, num_arrays=NUM_ARRAYS):
        tiles = softmax.logits(rows)
        if points is None or generator is None:
            best, _ = top_of_tiles(tiles, softmax, slate_size)
            slates = best[:, None].expand(-1, num_slates, -1)
        else:
            drawn = draw_at(tiles, softmax, points[rows])
            drawn = drawn.view(-1, num_slates, num_draws)
            slates = _without_repeats(tiles, softmax, drawn, slate_size, generator)
        parts.append(DrawnSlates(slates, _log_prob(tiles, softmax, slates)))
    return DrawnSlates(*map(torch.cat, zip(*parts, strict=True)))


def draw_at(
    tiles: Sequence[Tensor], softmax: CatalogSoftmax, points: Float[Tensor, "C P"]
) -> Int[Tensor, "C P"]:
    """Return the items at some points, from 0 to 1, of the rows' cumulative probabilities.

    Sums are float64: an item's interval is as wide as its probability in any catalog.
    """
    cumulative = [tile.exp().cumsum(dim=1, dtype=torch.float64) for tile in tiles]
    masses = [sums[:, -1:] for sums in cumulative]
    left = points * torch.cat(masses, dim=1).sum(dim=1, keepdim=True)
    items = torch.zeros_like(points, dtype=torch.long)
    for tile, sums, mass in zip(softmax.tiles, cumulative, masses, strict=True):
        passed = torch.searchsorted(sums, left.clamp_min(0), right=True)
        items += passed.where(items == tile.start, 0)
        left = left - mass
    return items.clamp_max(softmax.tiles[-1].stop - 1)


def _without_repeats(
    tiles: Sequence[Tensor],
    softmax: CatalogSoftmax,
    drawn: Int[Tensor, "C G P"],
    slate_size: int,
    generator: torch.Generator,
) -> Int[Tensor, "C G K"]:
    """Return the first different items of each slate's draws, completed if they are too few."""
    if slate_size == 1:
        return drawn
    is_new = ~(drawn[..., :, None] == drawn[..., None, :]).tril(-1).any(dim=-1)
    order = (~is_new).to(torch.int8).argsort(dim=-1, stable=True)[..., :slate_size]
    slates = drawn.gather(-1, order)
    num_new = is_new.sum(dim=-1)
    rows, columns = (num_new < slate_size).nonzero(as_tuple=True)
    row_bytes = NUM_ARRAYS * softmax.sum_dtype.itemsize * len(softmax.item_weight)
    at_once = max(engine.HELD_BYTES // row_bytes, 1)
    for row, column in zip(rows.split(at_once), columns.split(at_once), strict=True):
        if len(row):
            slates[row, column] = _complete_slates(
                [tile[row] for tile in tiles],
                softmax,
                slates[row, column],
                num_new[row, column],
                generator,
            )
    return slates


def _complete_slates(
    tiles: Sequence[Float[Tensor, "N _"]],
    softmax: CatalogSoftmax,
    slates: Int[Tensor, "N K"],
    num_held: Int[Tensor, " N"],
    generator: torch.Generator,
) -> Int[Tensor, "N K"]:
    """Return slates with their first items, completed in the order of perturbed logits."""
    slot = torch.arange(slates.shape[1], device=slates.device)
    is_held = slot < num_held[:, None]
    held = slates.where(is_held, slates[:, :1])
    perturbed = [perturb(tile.to(softmax.sum_dtype), generator) for tile in tiles]
    for tile, values in zip(softmax.tiles, perturbed, strict=True):
        row, column = ((held >= tile.start) & (held < tile.stop)).nonzero(as_tuple=True)
        values[row, held[row, column] - tile.start] = -torch.inf
    further, _ = top_of_tiles(perturbed, softmax, slates.shape[1])
    order = (slot - num_held[:, None]).clamp_min(0)
    return slates.where(is_held, further.gather(1, order))


def perturb(
    logits: Float[Tensor, "C tile"], generator: torch.Generator | None
) -> Float[Tensor, "C tile"]:
    """Return logits with Gumbel noise: their order is that of drawing without replacement."""
    return logits - torch.empty_like(logits).exponential_(generator=generator).log()


def _log_prob(
    tiles: list[Tensor], softmax: CatalogSoftmax, slates: Int[Tensor, "C G K"]
) -> Float[Tensor, "C G K"]:
    """Return the slates' log-probabilities; the tiles are used up."""
    items = slates.flatten(1)
    if slates.shape[2] == 1:
        logits = softmax.at_items(tiles, items)
        return (logits - softmax.exponential_sums(tiles).log()).view(slates.shape)
    chunk = softmax.separate(tiles, items)
    at = torch.arange(items.numel(), device=items.device).view(slates.shape)
    return slates_within_rows(chunk.logits, chunk.log_mass.squeeze(1), items, at)


@torch.no_grad()
def draw_items(scores: CatalogScores, temperature: float | int = 1.0) -> Int[Tensor, " N"]:
    """Draw an item from each row's distribution: the largest of its logits with Gumbel noise."""
    softmax = CatalogSoftmax(scores)
    rows_at_once = max(2**24 // len(scores.item_weight), 1)
    parts = [scores.hidden.new_empty(0, dtype=torch.long)]
    for rows in softmax.chunks(rows_at_once):
        tiles = softmax.raw_logits(rows)
        perturbed = [perturb(tile.to(softmax.sum_dtype) / temperature, None) for tile in tiles]
        items, _ = top_of_tiles(perturbed, softmax, 1)
        parts.append(items.squeeze(1))
    return torch.cat(parts)
