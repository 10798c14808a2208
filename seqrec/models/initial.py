"""Initial item vectors, factorised from co-occurrence in histories or from ratings."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

CONTEXT_POWER = 0.75
"""Exponent of an item's weight as a neighbour; it damps the association with rare items."""
NUM_ITERATIONS = 8
OVERSAMPLING = 16
RATING_SMOOTHING = 10.0
"""Pseudo-ratings at the mean that shrink the deviation of an item or user."""


def association_vectors(
    first_edge: Int[np.ndarray, " I+1"],
    target: Int[np.ndarray, " E"],
    weight: Float[np.ndarray, " E"],
    width: int,
) -> Float[Tensor, "I D"]:
    """Return vectors whose products approximate the positive PMI of neighbouring items.

    Transitions count in both directions. With ``w`` the summed weight of a pair or of an item, the
    association of ``i`` with ``j`` is ``max(log(w(i, j) * sum(w ** p) / (w(i) * w(j) ** p)), 0)``.
    The first singular vectors, scaled by the square roots of the singular values, are rotated at
    random, which spreads the variance over all units, and have a standard deviation of 1. An item
    without neighbours has the zero vector.

    Args:
        first_edge: index of the first transition of every item.
        target: target item of each transition.
        weight: weight of each transition.
        width: width of a vector.

    Source: Levy and Goldberg 2014, "Neural Word Embedding as Implicit Matrix Factorization",
        equations 8 and 10; Levy et al. 2015, "Improving Distributional Similarity", for the power
        and the square roots. Draws from torch's generator (Halko et al. 2009, arXiv:0909.4061).
    """
    num_items = len(first_edge) - 1
    source = torch.from_numpy(np.repeat(np.arange(num_items), np.diff(first_edge)))
    edges = torch.stack([source, torch.from_numpy(target).long()])
    both = torch.cat([edges, edges.flip(0)], dim=1)
    counts = torch.from_numpy(weight).double().repeat(2)
    shape = (num_items, num_items)
    pairs = torch.sparse_coo_tensor(both, counts, shape, check_invariants=False).coalesce()
    row_and_column, value = pairs.indices(), pairs.values()
    row, column = row_and_column
    total = torch.zeros(num_items, dtype=torch.float64).index_add_(0, row, value)
    smoothed = total**CONTEXT_POWER
    information = (value * smoothed.sum() / (total[row] * smoothed[column])).log().clamp_min(0)
    matrix = torch.sparse_coo_tensor(row_and_column, information, shape, check_invariants=False)
    return _factors(matrix, width)


def rating_vectors(
    items: Int[np.ndarray, " N"],
    users: Int[np.ndarray, " N"],
    ratings: Float[np.ndarray, " N"],
    num_items: int,
    width: int,
) -> Float[Tensor, "I D"]:
    """Return item vectors whose products with user vectors approximate rating residuals.

    The residual of a rating is the rating minus the mean, the item's deviation and the user's
    deviation, both shrunk towards 0. The matrix of residuals by item and user is 0 where there is
    no rating. Its first singular vectors, scaled by the square roots of the singular values, are
    rotated at random and have a standard deviation of 1. An item without ratings has the zero
    vector.

    Args:
        items: item of every rating.
        users: user of every rating.
        ratings: values.
        num_items: catalog size.
        width: width of a vector.

    Source: Cremonesi et al. 2010, "Performance of Recommender Algorithms on Top-N Recommendation
        Tasks", section 3.3 (PureSVD); Koren 2008, "Factorization Meets the Neighborhood", equation
        1, for the deviations. Draws from torch's generator.
    """
    _, user = np.unique(users, return_inverse=True)
    residual = ratings - ratings.mean() if len(ratings) else ratings
    for groups in (items, user):
        counts = np.bincount(groups) + RATING_SMOOTHING
        residual = residual - (np.bincount(groups, residual) / counts)[groups]
    cells = torch.from_numpy(np.stack([items, user]).astype(np.int64))
    shape = (num_items, int(user.max(initial=-1)) + 1)
    values = torch.from_numpy(np.asarray(residual, dtype=np.float64))
    matrix = torch.sparse_coo_tensor(cells, values, shape, check_invariants=False)
    return _factors(matrix.coalesce(), width)


def _factors(matrix: Float[Tensor, "I J"], width: int) -> Float[Tensor, "I D"]:
    """Return the first left singular vectors times the square roots of the singular values.

    The vectors are rotated at random, which spreads the variance over all units, and have a
    standard deviation of 1.
    """
    rank = min(width, *matrix.shape)
    vectors = torch.zeros(len(matrix), width, dtype=torch.float64)
    if rank:
        left, singular, _ = torch.svd_lowrank(
            matrix, q=min(rank + OVERSAMPLING, *matrix.shape), niter=NUM_ITERATIONS
        )
        vectors[:, :rank] = left[:, :rank] * singular[:rank].sqrt()
    rotation = torch.linalg.qr(torch.randn(width, width, dtype=torch.float64)).Q
    vectors = vectors @ rotation
    return (vectors / vectors.std().clamp_min(torch.finfo(torch.float64).tiny)).float()
