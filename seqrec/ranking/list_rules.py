"""Rules on whole lists: diversity, caps on a column's values, pinned items."""

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float, Int

from seqrec.errors import SeqRecError
from seqrec.retrieval.allowed_items import AllowedItems
from seqrec.retrieval.exact import TopK
from seqrec.tokens.events.histories import EventHistories
from seqrec.tokens.text.prompts import Prompts

POOL_FACTOR = 10
"""Items per position of a list among which a diverse list is chosen."""
MIN_POOL = 100


class Search(Protocol):
    """A function that lists items after histories: exact, or by an index."""

    def __call__(
        self,
        histories: Sequence[Int[np.ndarray, " T"]],
        k: int,
        *,
        exclude_seen: bool,
        allowed: AllowedItems | None,
    ) -> TopK: ...


@dataclass(frozen=True)
class Cap:
    """A list holds at most ``limit`` items of each value of a column."""

    limit: int
    groups: Sequence[Sequence[int]]
    """The values of every item, numbered."""


@dataclass(frozen=True)
class ListRules:
    """The content of lists: ``k`` items, the allowed ones, and their order."""

    k: int
    exclude_seen: bool = True
    allowed: AllowedItems | None = None
    trade_off: float | None = None
    """Weight of the score against similarity to the items listed before; None: score alone."""
    caps: Sequence[Cap] = ()
    pins: Sequence[tuple[int, int | None]] = ()
    """Items that stand in every list, and their ranks; None: the first rank that is free."""

    @property
    def are_plain(self) -> bool:
        """True if lists are those of the search."""
        return self.trade_off is None and not self.caps and not self.pins


def rank_by_rules(
    search: Search,
    histories: Sequence[Int[np.ndarray, " T"]],
    rules: ListRules,
    vectors: Float[np.ndarray, "I D"] | None,
    num_items: int,
) -> TopK:
    """Return the lists that the rules give.

    Diverse lists are chosen greedily from the best items (ten per position, at least a hundred):
    next comes the item with the largest ``w * score - (1 - w) * similarity``, with scores scaled to
    0 .. 1 over these items, and the largest cosine to an item that is listed before. Where caps
    leave a list short, more items are searched, down to the last one.

    Args:
        search: lists items after histories.
        histories: items, oldest first.
        rules: the rules.
        vectors: a vector for every item, for diverse lists.
        num_items: size of the catalog.

    Source: maximal marginal relevance, Carbonell and Goldstein 1998.
    """
    k, allowed = min(rules.k, num_items), rules.allowed
    if rules.are_plain:
        return search(histories, k, exclude_seen=rules.exclude_seen, allowed=allowed)
    if rules.trade_off is not None and vectors is None:
        raise SeqRecError("--mmr: the system has no item vectors to compare; name a model")
    pinned = _score_pins(search, histories, rules, num_items)
    items = torch.full((len(histories), k), -1)
    scores = torch.full((len(histories), k), -torch.inf)
    rows = np.arange(len(histories))
    pool = min(max(POOL_FACTOR * k, MIN_POOL), num_items)
    while len(rows):
        ranked = search(
            select_histories(histories, rows),
            pool,
            exclude_seen=rules.exclude_seen,
            allowed=None if allowed is None else allowed.select(rows),
        )
        is_short = np.zeros(len(rows), dtype=bool)
        for place, row in enumerate(rows):
            candidates = _list_scored(ranked, place)
            chosen = _choose(candidates, pinned[row], rules, k, vectors)
            for rank, (item, score) in enumerate(chosen):
                items[row, rank], scores[row, rank] = item, score
            is_short[place] = len(chosen) < k and pool <= len(candidates) < num_items
        rows, pool = rows[is_short], min(4 * pool, num_items)
    return TopK(items, scores)


Scored = list[tuple[int, float]]
"""Items with their scores."""


def select_histories(
    histories: Sequence[Int[np.ndarray, " T"]], rows: Int[np.ndarray, " R"]
) -> Sequence[Int[np.ndarray, " T"]]:
    """Return some of the histories, with their events."""
    if len(rows) == len(histories):
        return histories
    if isinstance(histories, EventHistories | Prompts):
        return histories.at(rows)
    return [histories[row] for row in rows]


def _list_scored(ranked: TopK, row: int) -> Scored:
    pairs = zip(ranked.items[row].tolist(), ranked.scores[row].tolist(), strict=True)
    return [(item, score) for item, score in pairs if item >= 0]


def _score_pins(
    search: Search, histories: Sequence[Int[np.ndarray, " T"]], rules: ListRules, num_items: int
) -> list[Scored]:
    """Return the pinned items of every history, also seen ones, but only allowed ones."""
    if not rules.pins:
        return [[] for _ in histories]
    pinned = [item for item, _ in rules.pins]
    allowed = rules.allowed or AllowedItems(num_items)
    shared = np.isin(np.arange(num_items), pinned)
    shared = shared if allowed.shared is None else shared & allowed.shared
    ranked = search(
        histories, len(pinned), exclude_seen=False, allowed=replace(allowed, shared=shared)
    )
    by_row = [dict(_list_scored(ranked, row)) for row in range(len(histories))]
    return [[(item, found[item]) for item in pinned if item in found] for found in by_row]


def _choose(
    candidates: Scored,
    pinned: Scored,
    rules: ListRules,
    k: int,
    vectors: Float[np.ndarray, "I D"] | None,
) -> Scored:
    """Return one list: the pinned items at their ranks, the best others between them."""
    others = _choose_others(candidates, pinned, rules, k - len(pinned), vectors)
    ranks = dict(rules.pins)
    slots: dict[int, tuple[int, float]] = {}
    for item, score in pinned:
        rank = ranks[item]
        if rank is not None:
            slots[rank] = (item, score)
    free = (rank for rank in itertools.count(1) if rank not in slots)
    leading = [pair for pair in pinned if ranks[pair[0]] is None]
    for pair, rank in zip([*leading, *others], free, strict=False):
        slots[rank] = pair
    return [slots[rank] for rank in sorted(slots)]


def _choose_others(
    candidates: Scored,
    pinned: Scored,
    rules: ListRules,
    count: int,
    vectors: Float[np.ndarray, "I D"] | None,
) -> Scored:
    """Return the next items of a list by the rules on diversity and caps."""
    listed = [item for item, _ in pinned]
    candidates = [pair for pair in candidates if pair[0] not in listed]
    items = np.array([item for item, _ in candidates], dtype=np.int64)
    worth = np.array([score for _, score in candidates])
    nearest, weight, unit = np.full(len(items), -np.inf), rules.trade_off, None
    if weight is None or vectors is None:
        weight, worth = 1.0, -np.arange(len(items), dtype=np.float64)
    elif len(items):
        unit = _normalise(vectors[items])
        worth = (worth - worth.min()) / max(float(np.ptp(worth)), np.finfo(np.float64).tiny)
        for other in _normalise(vectors[listed]):
            nearest = np.maximum(nearest, unit @ other)
    counts = [Counter(group for item in listed for group in cap.groups[item]) for cap in rules.caps]
    is_open = np.ones(len(items), dtype=bool)
    chosen: Scored = []
    while len(chosen) < count and is_open.any():
        similarity = np.where(np.isfinite(nearest), nearest, 0)  # 0 while nothing is listed
        value = np.where(is_open, weight * worth - (1 - weight) * similarity, -np.inf)
        place = int(value.argmax())
        item = int(items[place])
        is_open[place] = False
        pairs = list(zip(rules.caps, counts, strict=True))
        if any(num[group] >= cap.limit for cap, num in pairs for group in cap.groups[item]):
            continue
        for cap, count_of_cap in pairs:
            count_of_cap.update(cap.groups[item])
        chosen.append(candidates[place])
        if unit is not None:
            nearest = np.maximum(nearest, unit @ unit[place])
    return chosen


def _normalise(vectors: Float[np.ndarray, "N D"]) -> Float[np.ndarray, "N D"]:
    """Return vectors of length 1; zeros for a zero vector."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(norms, np.finfo(np.float32).tiny)
