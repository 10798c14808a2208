"""Sequential rules: weighted counts of ordered pairs, read from the last items of a history."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from seqrec.baselines.graph import ItemGraph
from seqrec.baselines.neighbours import keep_nearest
from seqrec.baselines.popularity import tie_breaker
from seqrec.baselines.transitions import count_successors
from seqrec.data.histories import Histories
from seqrec.errors import SeqRecError

DISTANCES: dict[str, Callable[[int], float]] = {
    "inverse": lambda distance: 1 / distance,
    "logarithmic": lambda distance: 1 / np.log10(distance + 1.7),
}
"""Weight of a pair of items by their distance."""


def sequential_rules(
    histories: Histories,
    num_items: int,
    *,
    max_steps: int = 10,
    distances: str = "inverse",
    num_rules: int = 200,
    rarity_power: float = 0.0,
    history_items: int = 10,
    history_exponent: float = 2.0,
) -> ItemGraph:
    """Fit rules "after this item, that one", whose weights are summed over a history's last items.

    A pair ``d`` steps apart in training adds its distance's weight to the rule. The item ``j``
    places from a history's end weighs ``j ** -history_exponent``.

    Args:
        histories: interactions; the training part is counted.
        num_items: catalog size.
        max_steps: largest distance of two items whose pair counts.
        distances: ``inverse``, ``1 / d``, or ``logarithmic``, ``1 / log10(d + 1.7)``.
        num_rules: number of rules per item, plus ties with the last one.
        rarity_power: exponent of the first item's rarity, which multiplies its rules: its inverse
            user frequency in logarithms, scaled from 0 to 1. 0: no factor.
        history_items: number of last items of a history that are used.
        history_exponent: exponent of the distance from the history's end.

    Raises:
        SeqRecError: an unknown name of ``distances``.

    Source: SeqRules of spotify-research/sequential-capacity-probes (RecSys 2026), after Ludewig
        and Jannach 2018, arXiv:1803.09587, section 3.1, who read the last item alone.
    """
    if distances not in DISTANCES:
        raise SeqRecError(f"seq-rules: distances={distances}: choose from {', '.join(DISTANCES)}")
    weights = [DISTANCES[distances](distance) for distance in range(1, max_steps + 1)]
    rules = count_successors(histories, num_items, weights)
    if rarity_power:
        factor = scaled_rarity(histories, num_items) ** rarity_power
        rules.data *= np.repeat(factor, np.diff(rules.indptr))
    return ItemGraph(
        "seq-rules",
        keep_nearest(rules, num_rules),
        tie_breaker(histories, num_items),
        get_weights=lambda steps, lengths: (steps + 1.0) ** -history_exponent,
        max_steps=history_items,
    )


def scaled_rarity(histories: Histories, num_items: int) -> Float[np.ndarray, " I"]:
    """Return the log of users per interaction with an item, scaled from 0 to 1 over the catalog.

    Items without an interaction are as rare as those with one.
    """
    counts = np.maximum(histories.item_counts(num_items), 1)
    rarity = -np.log(counts)
    low, high = rarity.min(), rarity.max()
    return np.ones(num_items) if low == high else (rarity - low) / (high - low)
