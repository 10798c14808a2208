"""Validation metrics of a ranker."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from seqrec.evaluation.protocol import PER_QUERY, Queries, find_hits
from seqrec.ranking.ranker import Ranker
from seqrec.training.loaders import QueryLoader


def validation_metrics(
    ranker: Ranker, validation: QueryLoader, ks: Sequence[int]
) -> dict[str, float]:
    """Return mean metrics over the queries of all processes, by key: ``ndcg@10``, ..."""
    found = query_metrics(ranker, validation, ks)
    return {key: float(values.mean()) for key, values in found.items()}


def query_metrics(
    ranker: Ranker, validation: QueryLoader, ks: Sequence[int]
) -> dict[str, Float[np.ndarray, " Q"]]:
    """Return the metrics of every query of all processes, by key."""
    scores: dict[str, list[np.ndarray]] = {}
    for queries in validation.iterate_all():
        for key, values in _scores(ranker, queries, ks).items():
            scores.setdefault(key, []).append(values)
    return {key: np.concatenate(parts) for key, parts in scores.items()}


def _scores(ranker: Ranker, queries: Queries, ks: Sequence[int]) -> dict[str, np.ndarray]:
    ranked = ranker.rank(queries.histories, max(ks))
    hits, num_targets = find_hits(ranked.items, queries.targets)
    return {
        f"{name}@{k}": score(hits, num_targets, k).numpy()
        for k in ks
        for name, score in PER_QUERY.items()
    }
