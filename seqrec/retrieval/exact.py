"""Exact top-k of the whole catalog, a tile of items at a time, with seen items excluded."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import NamedTuple, Self

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from seqrec.errors import SeqRecError
from seqrec.retrieval.allowed_items import AllowedItems

TILE_ITEMS = 16_384
"""Default number of items scored at once: the fastest of those measured on a CPU."""

GROUP_ITEMS = 8
"""Items of a group; the search compares only the largest score of each group first."""


class TopK(NamedTuple):
    """Ranked lists: higher scores first, lower items first among equal scores."""

    items: Int[Tensor, "B K"]
    """Best first; -1 where fewer than ``K`` items can be listed."""
    scores: Float[Tensor, "B K"]
    """Scores of the items; -inf at -1."""


class SeenItems(NamedTuple):
    """Seen items of queries as pairs: query ``rows[s]`` has seen ``items[s]``."""

    rows: Int[Tensor, " S"]
    items: Int[Tensor, " S"]

    @classmethod
    def from_lists(cls, lists: Sequence[np.ndarray | Sequence[int]]) -> Self:
        """Return the seen items of queries 0, 1, ..., from one list each; lists may be empty."""
        lengths = torch.tensor([len(items) for items in lists], dtype=torch.int64)
        parts = [np.asarray(items, dtype=np.int64) for items in lists]
        flat = np.concatenate([np.empty(0, dtype=np.int64), *parts])
        return cls(torch.arange(len(lengths)).repeat_interleave(lengths), torch.from_numpy(flat))


@torch.no_grad()
def top_k(
    score_tile: Callable[[int, int], Float[Tensor, "B tile"]],
    num_queries: int,
    num_items: int,
    k: int,
    *,
    seen: SeenItems | None = None,
    allowed: AllowedItems | None = None,
    tile_items: int,
) -> TopK:
    """Return the best ``k`` unseen items; ``B * tile_items`` scores are in memory at once.

    Equal to a stable sort of every query's full row of scores, best first. No gradient flows.

    Args:
        score_tile: ``score_tile(start, stop)`` scores items ``start .. stop - 1`` for all
            queries. Its result is not changed. An item with score -inf is never listed.
        num_queries: rows of every tile.
        num_items: catalog size.
        k: length of the lists; may exceed the catalog.
        seen: items to exclude; duplicates and items outside the catalog have no effect.
        allowed: items that the lists may hold; None: all.
        tile_items: items scored at once.
    """
    if k < 1 or tile_items < 1:
        raise SeqRecError(f"k is {k}, tile_items is {tile_items}: both must be at least 1")
    best: TopK | None = None
    for start in range(0, num_items, tile_items):
        stop = min(start + tile_items, num_items)
        scores = score_tile(start, stop)
        if allowed is not None:
            mask = allowed.get_mask(num_queries, start, stop)
            scores = scores.masked_fill(~mask.to(scores.device), -torch.inf)
        unseen = nullcontext(scores) if seen is None else _without_seen(scores, seen, start, stop)
        with unseen as candidates:
            columns, values = _select_top(candidates, k)
        if best is not None:
            columns = torch.cat([best.items, columns + start], dim=1)
            values = torch.cat([best.scores, values], dim=1)
        best = best_first(columns, values, k)
    if best is None:  # an empty catalog
        nothing = torch.empty(num_queries, 0)
        return best_first(nothing.long(), nothing, k)
    return best


def top_k_by_product(
    queries: Float[Tensor, "B D"],
    item_vectors: Float[Tensor, "I D"],
    k: int,
    *,
    seen: SeenItems | None = None,
    tile_items: int,
) -> TopK:
    """Return ``top_k`` by inner product; ``item_vectors`` must not contain padding rows."""
    return top_k(
        lambda start, stop: queries @ item_vectors[start:stop].T,
        len(queries),
        len(item_vectors),
        k,
        seen=seen,
        tile_items=tile_items,
    )


def best_first(items: Int[Tensor, "B C"], scores: Float[Tensor, "B C"], k: int) -> TopK:
    """Return candidates as ranked lists, cut or padded to ``k``; score -inf gives item -1."""
    items, order = items.sort(dim=1)
    scores, order = scores.gather(1, order).sort(dim=1, descending=True, stable=True)
    items, scores = items.gather(1, order)[:, :k], scores[:, :k]
    missing = k - items.shape[1]
    return TopK(
        F.pad(items.masked_fill(scores == -torch.inf, -1), (0, missing), value=-1),
        F.pad(scores, (0, missing), value=-torch.inf),
    )


@contextmanager
def _without_seen(
    scores: Float[Tensor, "B tile"], seen: SeenItems, start: int, stop: int
) -> Iterator[Float[Tensor, "B tile"]]:
    """Set the scores of seen items to -inf in place and restore them, which avoids a copy."""
    if scores.stride(0) == 0:
        scores = scores.clone()
    inside = (seen.items >= start) & (seen.items < stop)
    rows, columns = seen.rows[inside], seen.items[inside] - start
    where = rows.to(scores.device), columns.to(scores.device)
    with torch.inference_mode():  # inference tensors can be written in inference mode only
        original = scores[where]
        scores[where] = -torch.inf
    try:
        yield scores
    finally:
        with torch.inference_mode():
            scores[where] = original


def _select_top(
    scores: Float[Tensor, "B tile"], k: int
) -> tuple[Int[Tensor, "B C"], Float[Tensor, "B C"]]:
    """Return columns and scores of the best ``k`` or fewer.

    Ties at the cut take the lowest columns. ``_largest`` breaks ties arbitrarily; one score beyond
    the cut shows which rows have ties.
    """
    values, columns = _largest(scores, min(k + 1, scores.shape[1]))
    if values[:, 0].isnan().any():  # topk puts NaN first
        raise SeqRecError("NaN among the scores: the model is broken, use another checkpoint")
    if values.shape[1] <= k:
        return columns, values
    last, beyond = values[:, k - 1 : k], values[:, k:]
    values, columns = values[:, :k], columns[:, :k]
    tied = ((last == beyond) & (last > -torch.inf)).squeeze(1)
    if tied.any():
        columns[tied] = _columns_to_cut(scores[tied], last[tied], k)
        values[tied] = scores[tied].gather(1, columns[tied])
    return columns, values


def _largest(
    scores: Float[Tensor, "B tile"], k: int
) -> tuple[Float[Tensor, "B K"], Int[Tensor, "B K"]]:
    """Return ``scores.topk(k, dim=1)``, with ties broken arbitrarily.

    Columns are grouped, and only the ``k`` groups with the largest maxima are searched: no score
    outside of them exceeds any of these ``k`` maxima.
    """
    num_groups = scores.shape[1] // GROUP_ITEMS
    if num_groups < 2 * k:
        return scores.topk(k, dim=1)
    grouped = num_groups * GROUP_ITEMS
    maxima = scores[:, :grouped].unflatten(1, (GROUP_ITEMS, num_groups)).amax(dim=1)
    groups = maxima.topk(k, dim=1, sorted=False).indices
    starts = torch.arange(0, grouped, num_groups, device=scores.device)
    ungrouped = torch.arange(grouped, scores.shape[1], device=scores.device)
    columns = (groups[:, None] + starts[:, None]).flatten(1)
    columns = torch.cat([columns, ungrouped.expand(len(scores), -1)], dim=1)
    values, order = scores.gather(1, columns).topk(k, dim=1)
    return values, columns.gather(1, order)


def _columns_to_cut(
    scores: Float[Tensor, "B tile"], last: Float[Tensor, "B 1"], k: int
) -> Int[Tensor, "B K"]:
    """Return ``k`` columns per row: all above ``last``, then the lowest ones equal to it."""
    above: Bool[Tensor, "B tile"] = scores > last
    equal: Bool[Tensor, "B tile"] = scores == last
    num_equal = k - above.sum(dim=1, keepdim=True)
    selected = above | (equal & (equal.cumsum(dim=1, dtype=torch.int32) <= num_equal))
    return selected.nonzero()[:, 1].view(-1, k)
