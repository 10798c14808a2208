"""A training-free product of smoothed transition experts."""

import numpy as np
from jaxtyping import Float, Int

from seqrec.baselines.graph import ItemGraph
from seqrec.baselines.matrices import HistoryWeights
from seqrec.baselines.popularity import tie_breaker
from seqrec.baselines.transitions import count_successors
from seqrec.data.histories import Histories
from seqrec.errors import SeqRecError


def transition_product(
    histories: Histories,
    num_items: int,
    *,
    max_steps: int = 20,
    distance_exponent: float = 1.0,
    smoothing: float = 150.0,
    recent_items: int = 7,
    recent_share: float = 0.8,
    history_decay: float = 0.6,
    popularity_penalty: float = 0.4,
    max_items: int = 200,
) -> ItemGraph:
    """Fit PCTM: every item of a history is an expert on the next one, and their product ranks.

    After the history ``h_1, h_2, ...``, the most recent item first, item ``a`` has the score
    ``sum_j w_j * log(1 + C[h_j, a] * num_items / smoothing) - popularity_penalty * log p(a)``.
    Up to a constant of the history this is the weighted mean of the experts' log-probabilities.
    The weights ``w`` sum to 1. An empty history has no experts and is answered by popularity.

    Args:
        histories: interactions; the training part is counted.
        num_items: catalog size.
        max_steps: largest distance of two items whose pair counts.
        distance_exponent: a pair ``d`` steps apart adds ``d ** -distance_exponent`` to ``C``.
        smoothing: number of pseudo-transitions from every item, even over the catalog.
        recent_items: number of last items of a history that share ``recent_share`` of the weight.
        recent_share: their share; earlier items share the rest evenly.
        history_decay: factor of an item's weight for every step back among the recent ones.
        popularity_penalty: exponent by which popularity ``p`` divides the product; with one count
            more for every item.
        max_items: number of last items of a history that are used.

    Raises:
        SeqRecError: ``smoothing`` is 0.

    Source: the formula of PCTM, RecSys 2026 (spotify-research/sequential-capacity-probes). Ties are
        ordered by popularity here.
    """
    if not smoothing:
        raise SeqRecError("pctm: smoothing=0: more than 0")
    weights = [distance**-distance_exponent for distance in range(1, max_steps + 1)]
    evidence = count_successors(histories, num_items, weights)
    evidence.data = np.log1p(evidence.data * (num_items / smoothing))
    counts = histories.item_counts(num_items) + 1.0
    return ItemGraph(
        "pctm",
        evidence,
        tie_breaker(histories, num_items),
        get_weights=head_and_tail(recent_items, recent_share, history_decay),
        item_bias=-popularity_penalty * np.log(counts / counts.sum()),
        max_steps=max_items,
    )


def head_and_tail(num_recent: int, share: float, decay: float) -> HistoryWeights:
    """Return weights that sum to 1: decayed over the last items, even over the others.

    Args:
        num_recent: number of last items.
        share: sum of their weights; all of it where a history has no others.
        decay: factor for every step back among them.
    """

    def get_weights(
        steps: Int[np.ndarray, " M"], lengths: Int[np.ndarray, " M"]
    ) -> Float[np.ndarray, " M"]:
        sums = np.cumsum(decay ** np.arange(num_recent))
        head = decay**steps / sums[np.minimum(lengths, num_recent) - 1]
        is_longer = lengths > num_recent
        tail = (1 - share) / np.maximum(lengths - num_recent, 1)
        return np.where(steps < num_recent, np.where(is_longer, share, 1.0) * head, tail)

    return get_weights
