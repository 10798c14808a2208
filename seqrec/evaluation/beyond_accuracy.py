"""Metrics of lists beyond accuracy: novelty, popularity, diversity, calibration.

Every function returns a value per query. Lists may be short (-1 after their end); the value of an
empty list is NaN.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

HEAD_SHARE = 0.5
"""Share of the training interactions in the head of the catalog."""
SMOOTHING = 0.01
"""Share of the history's genres that is mixed into the list's, so that the divergence is finite."""
NUMBERS_HELD = 2**24


def novelty(
    lists: Int[np.ndarray, "Q K"], item_counts: Int[np.ndarray, " I"]
) -> Float[np.ndarray, " Q"]:
    """Return the mean self-information of a list's items, in bits.

    It is ``-log2`` of an item's share of the training interactions, with one added to each count.

    Source: Zhou et al. 2010, "Solving the apparent diversity-accuracy dilemma of recommender
        systems", equation 5; Vargas and Castells 2011, "Rank and relevance in novelty and
        diversity metrics", section 3.
    """
    return _mean_over_list(lists, self_information(item_counts))


def self_information(item_counts: Int[np.ndarray, " I"]) -> Float[np.ndarray, " I"]:
    """Return ``-log2`` of every item's share of the counts, one added to each, in bits."""
    counts = item_counts + 1.0
    return -np.log2(counts / counts.sum())


def popularity_share(
    lists: Int[np.ndarray, "Q K"], item_counts: Int[np.ndarray, " I"]
) -> Float[np.ndarray, " Q"]:
    """Return the share of a list's items that belong to the catalog's head.

    The head is the fewest items that hold half of the training interactions.
    """
    return _mean_over_list(lists, find_head_items(item_counts).astype(np.float64))


def find_head_items(item_counts: Int[np.ndarray, " I"]) -> Bool[np.ndarray, " I"]:
    """Return the fewest items that hold ``HEAD_SHARE`` of the interactions; ties by number."""
    order = np.argsort(-item_counts, kind="stable")
    held = np.cumsum(item_counts[order])
    num_items = int(np.searchsorted(held, HEAD_SHARE * held[-1])) + 1 if len(held) else 0
    is_head = np.zeros(len(item_counts), dtype=bool)
    is_head[order[:num_items]] = True
    return is_head & (item_counts > 0)


def diversity(
    lists: Int[np.ndarray, "Q K"], genres: Bool[np.ndarray, "I C"]
) -> Float[np.ndarray, " Q"]:
    """Return 1 minus the mean Jaccard similarity of genres over the pairs of a list's items.

    Two items without genres are alike; a list of one item has diversity 0.

    Source: Smyth and McClave 2001, "Similarity vs. Diversity", with genres as features.
    """
    values = []
    first, second = np.triu_indices(lists.shape[1], 1)
    for part in _parts(lists, lists.shape[1] ** 2 + lists.shape[1] * genres.shape[1]):
        is_item = part >= 0
        list_genres = (genres[part] & is_item[:, :, None]).astype(np.float32)
        shared = np.matmul(list_genres, list_genres.swapaxes(1, 2))
        sizes = list_genres.sum(axis=2)
        either = sizes[:, :, None] + sizes[:, None, :] - shared
        similarity = np.where(either > 0, shared / np.maximum(either, 1), 1.0)[:, first, second]
        is_pair = is_item[:, first] & is_item[:, second]
        num_pairs = is_pair.sum(axis=1)
        total = (similarity * is_pair).sum(axis=1)
        value = np.where(num_pairs > 0, 1 - total / np.maximum(num_pairs, 1), 0.0)
        values.append(np.where(is_item.any(axis=1), value, np.nan))
    return np.concatenate(values)


def miscalibration(
    lists: Int[np.ndarray, "Q K"],
    histories: Sequence[Int[np.ndarray, " T"]],
    genres: Bool[np.ndarray, "I C"],
) -> Float[np.ndarray, " Q"]:
    """Return the divergence of a list's genres from the history's: ``KL(history | list)``, in nats.

    Each item spreads a weight of 1 evenly over its genres. The list's distribution is mixed with
    a little of the history's, so that a missing genre has a large, finite cost.
    It is NaN if the history or the list has no genre.

    Source: Steck 2018, "Calibrated recommendations", equations 2 to 5.
    """
    weight = genres / np.maximum(genres.sum(axis=1, keepdims=True), 1)
    history_genres = np.stack([weight[history].sum(axis=0) for history in histories])
    is_item = (lists >= 0)[:, :, None]
    list_genres = np.concatenate(
        [
            (weight[part] * mask).sum(axis=1)
            for part, mask in zip(
                _parts(lists, lists.shape[1] * genres.shape[1]),
                _parts(is_item, lists.shape[1] * genres.shape[1]),
                strict=True,
            )
        ]
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        p = history_genres / history_genres.sum(axis=1, keepdims=True)
        q = list_genres / list_genres.sum(axis=1, keepdims=True)
        mixed = (1 - SMOOTHING) * q + SMOOTHING * p
        return np.where(p > 0, p * np.log(p / mixed), 0 * mixed).sum(axis=1)


def _mean_over_list(
    lists: Int[np.ndarray, "Q K"], values: Float[np.ndarray, " I"]
) -> Float[np.ndarray, " Q"]:
    is_item = lists >= 0
    num_items = is_item.sum(axis=1)
    means = (values[lists] * is_item).sum(axis=1) / np.maximum(num_items, 1)
    return np.where(num_items > 0, means, np.nan)


def _parts(values: np.ndarray, numbers_each: int) -> Iterator[np.ndarray]:
    """Yield the rows in parts of at most ``NUMBERS_HELD`` numbers."""
    size = max(1, NUMBERS_HELD // max(numbers_each, 1))
    for start in range(0, max(len(values), 1), size):
        yield values[start : start + size]


def describe_lists(
    lists: Int[np.ndarray, "Q K"],
    histories: Sequence[Int[np.ndarray, " T"]],
    ks: Sequence[int],
    item_counts: Int[np.ndarray, " I"],
    genres: Bool[np.ndarray, "I C"] | None,
) -> dict[str, Float[np.ndarray, " Q"]]:
    """Return all metrics at every cut-off, by key: ``novelty@10``, ....

    Metrics of genres are absent without genres.
    """
    metrics = {}
    for k in ks:
        first = lists[:, :k]
        metrics[f"novelty@{k}"] = novelty(first, item_counts)
        metrics[f"popularity_share@{k}"] = popularity_share(first, item_counts)
        if genres is not None:
            metrics[f"diversity@{k}"] = diversity(first, genres)
            metrics[f"miscalibration@{k}"] = miscalibration(first, histories, genres)
    return metrics
