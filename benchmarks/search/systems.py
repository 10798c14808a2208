"""Scores of the whole catalog by the systems under test, and their combinations."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from benchmarks.search.asked import Asked
from seqrec.ranking.recommender import Recommender

BATCH = 256
RANK_SMOOTHING = 60
"""Constant of reciprocal-rank fusion (Cormack et al. 2009)."""
WEIGHTS = (0.0, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0, 60.0)


def _batches(asked: Asked) -> Iterator[slice]:
    for start in range(0, len(asked), BATCH):
        yield slice(start, start + BATCH)


@torch.inference_mode()
def score_history(recommender: Recommender, asked: Asked) -> Tensor:
    """Return the scores after histories alone; after an empty one the logarithm of counts."""
    parts = []
    for part in _batches(asked):
        scores = recommender.score_tiles(asked.histories[part])(0, recommender.num_items).float()
        is_empty = torch.tensor([[not len(one)] for one in asked.histories[part]])
        parts.append(torch.where(is_empty, scores.clamp_min(0).log1p(), scores))
    return torch.cat(parts)


@torch.inference_mode()
def score_request(recommender: Recommender, asked: Asked, vectors: np.ndarray) -> Tensor:
    """Return the scores of a query token after histories."""
    parts = []
    for part in _batches(asked):
        asking = recommender.with_name("asking")
        asking.request = torch.from_numpy(vectors[part])
        parts.append(asking.score_tiles(asked.histories[part])(0, recommender.num_items).float())
    return torch.cat(parts)


def fuse_ranks(scores: Sequence[Tensor]) -> Tensor:
    """Return the sum of reciprocal ranks by several scores."""
    ranks = (one.argsort(dim=1, descending=True).argsort(dim=1) for one in scores)
    return torch.stack([1.0 / (RANK_SMOOTHING + 1 + rank) for rank in ranks]).sum(dim=0)
