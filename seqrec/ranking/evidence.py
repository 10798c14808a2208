"""Why items are listed: what each title of a history adds, what followed it, and how near it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from seqrec.data.counted_transitions import CountedTransitions, Followed
from seqrec.data.transitions import Transitions
from seqrec.ranking.model_ranker import ModelRanker
from seqrec.ranking.ranker import Ranker
from seqrec.ranking.served import Reading, Served
from seqrec.tokens.events.requests import Event, get_item_id

MAX_LEFT_OUT = 50
"""Titles of a history that are left out in turn: the most recent ones."""


class Without(NamedTuple):
    """The change of an item's score when one title is left out of the history."""

    rank: int
    factor: float | None
    """The item's probability after the history, over that after the history without the title.
    None if the system gives no probabilities, or if nothing is left of the history."""


@dataclass(frozen=True)
class TitleEvidence:
    """Evidence of one title of a history for an item."""

    title: int
    """The title, a row of the catalog."""
    without: Without
    followed: Followed | None
    """Times that the item followed the title in training; None if never, or if it is unknown."""
    cosine: float | None
    """Similarity of their vectors; None for a system without vectors."""


@dataclass(frozen=True)
class Evidence:
    """Why an item is listed after a history."""

    item: int
    score: float
    rank: int
    """Its place among the items that are not in the history."""
    titles: list[TitleEvidence]
    """The distinct titles of the history, most recent last."""


def find_evidence(
    served: Served,
    history: Sequence[Event],
    items: Int[np.ndarray, " K"],
    reading: Reading,
    counted: CountedTransitions | None = None,
) -> list[Evidence]:
    """Return the evidence for items after a history.

    A title is left out with all its events; the ranker scores the history with and without each
    title in one batch. Ranks are over the whole catalog without the items of the history.

    Args:
        served: the ranker and its catalog.
        history: ids or events, oldest first.
        items: the items to explain, rows of the catalog.
        reading: conditions and plans.
        counted: transitions; None: those of the ranker's own prior, if it has one.
    """
    ids = [get_item_id(event) for event in history]
    recent = list(dict.fromkeys(one for one in reversed(ids) if one in served.table))
    title_ids = recent[:MAX_LEFT_OUT][::-1]
    left = [
        [event for event, own in zip(history, ids, strict=True) if own != title]
        for title in title_ids
    ]
    given = served.read([list(history), *left], reading)
    titles, _ = served.table.find(title_ids)
    is_seen = np.zeros(served.ranker.num_items, dtype=bool)
    is_seen[given.items[0]] = True
    placed = place_items(served.ranker, given.histories, items, is_seen)
    is_likely = isinstance(served.ranker, ModelRanker)
    counted = counted or get_prior_counts(served)
    cosines = _compare(served.ranker, titles, items)
    found = []
    for column, item in enumerate(items.tolist()):
        target_id = served.table.item_ids[item]
        evidence = [
            TitleEvidence(
                int(title),
                Without(
                    int(placed.ranks[row + 1, column]),
                    placed.get_factor(row + 1, column)
                    if is_likely and len(given.items[row + 1])
                    else None,
                ),
                None if counted is None else counted.find(title_ids[row], target_id),
                None if cosines is None else float(cosines[row, column]),
            )
            for row, title in enumerate(titles)
        ]
        score, rank = float(placed.scores[0, column]), int(placed.ranks[0, column])
        found.append(Evidence(item, score, rank, evidence))
    return found


def get_prior_counts(served: Served) -> CountedTransitions | None:
    """Return the transitions of a model's prior; None if it has none."""
    ranker = served.ranker
    prior = ranker.model.transition_prior if isinstance(ranker, ModelRanker) else None
    if prior is None:
        return None
    names = ("first_edge", "target", "weight", "leaving")
    arrays = [getattr(prior, name).cpu().numpy() for name in names]
    steps = len(prior.distance_weights)
    return CountedTransitions(Transitions(*arrays), served.table, steps, is_weighted=True)


class Placed(NamedTuple):
    """Scores and ranks of some items after each of some histories."""

    scores: Float[Tensor, "B K"]
    ranks: Int[Tensor, "B K"]
    log_totals: Float[Tensor, " B"]
    """The logarithm of the sum of ``exp(score)`` over the catalog."""

    def get_factor(self, row: int, column: int) -> float:
        """Return the item's probability after the first history over that after another one."""
        log_probabilities = self.scores[:, column] - self.log_totals
        return float((log_probabilities[0] - log_probabilities[row]).exp())


@torch.inference_mode()
def place_items(
    ranker: Ranker,
    histories: Sequence[Int[np.ndarray, " T"]],
    items: Int[np.ndarray, " K"],
    is_seen: Bool[np.ndarray, " I"],
) -> Placed:
    """Return scores and ranks, a tile of the catalog at a time."""
    scores = torch.full((len(histories), len(items)), -torch.inf)
    log_totals = torch.full((len(histories),), -torch.inf)
    score_tile, size = ranker.score_tiles(histories), min(ranker.tile_items, ranker.num_items)
    starts = range(0, ranker.num_items, size)
    for start in starts:
        tile = score_tile(start, min(start + size, ranker.num_items)).float().cpu()
        inside = np.flatnonzero((items >= start) & (items < start + tile.shape[1]))
        scores[:, inside] = tile[:, items[inside] - start]
        log_totals = torch.logaddexp(log_totals, tile.logsumexp(dim=1))
    ranks = torch.ones_like(scores, dtype=torch.long)
    unseen = torch.from_numpy(~is_seen)
    for start in starts:
        tile = score_tile(start, min(start + size, ranker.num_items)).float().cpu()
        tile = tile[:, unseen[start : start + tile.shape[1]]]
        for column in range(len(items)):
            ranks[:, column] += (tile > scores[:, column, None]).sum(dim=1)
    return Placed(scores, ranks, log_totals)


def _compare(
    ranker: Ranker, titles: Int[np.ndarray, " S"], items: Int[np.ndarray, " K"]
) -> Float[np.ndarray, "S K"] | None:
    """Return the cosines of titles and items; None if the ranker has no vectors."""
    vectors = ranker.item_vectors()
    if vectors is None:
        return None
    rows = vectors[np.concatenate([titles, items])]
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = rows / np.maximum(norms, np.finfo(np.float32).tiny)
    return rows[: len(titles)] @ rows[len(titles) :].T
