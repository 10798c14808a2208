"""Item vectors that training starts from: what stands near what in histories, factorised, or how
people rated titles."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

CONTEXT_POWER = 0.75
"""Of an item's weight as a neighbour: rare ones are less surprising than they seem."""
NUM_ITERATIONS = 8
OVERSAMPLING = 16
RATING_SMOOTHING = 10.0
"""Ratings of the average that a title's, or somebody's own, are mixed with."""


def association_vectors(
    first_edge: Int[np.ndarray, " I+1"],
    target: Int[np.ndarray, " E"],
    weight: Float[np.ndarray, " E"],
    width: int,
) -> Float[Tensor, "I D"]:
    """Vectors whose products approach the positive pointwise mutual information of neighbours.

    The transitions are read in both directions. With ``w`` the summed weights of two items, of
    one, and of all, the association of ``i`` with ``j`` is ``max(log(w(i, j) * sum(w ** p) /
    (w(i) * w(j) ** p)), 0)``. The first singular vectors, times the roots of the singular values,
    are turned at random, so that no unit holds more than another, and have a standard deviation
    of 1. An item without neighbours is 0.

    Args:
        first_edge: of every item, the place of its first transition.
        target: where each transition leads.
        weight: how much it counts.
        width: numbers of a vector.

    Source: Levy and Goldberg 2014, "Neural Word Embedding as Implicit Matrix Factorization",
        equations 8 and 10; Levy et al. 2015, "Improving Distributional Similarity", for the power
        and the roots. Draws from torch's generator (Halko et al. 2009, arXiv:0909.4061).
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
    """Vectors whose products with people's approach how these rated titles, beyond what is usual.

    Of every rating what remains is the rating minus the average, the title's deviation from it,
    and the person's from both; deviations are drawn towards 0. Of the matrix of titles by people,
    0 where nobody rated, the first singular vectors, times the roots of the singular values, are
    turned at random and have a standard deviation of 1. A title that nobody rated is 0.

    Args:
        items: of every rating, the title.
        users: who rated.
        ratings: how.
        num_items: of the catalog.
        width: numbers of a vector.

    Source: Cremonesi et al. 2010, "Performance of Recommender Algorithms on Top-N Recommendation
        Tasks", section 3.3 (PureSVD); Koren 2008, "Factorization Meets the Neighborhood", equation
        1, for what is usual. Draws from torch's generator.
    """
    _, person = np.unique(users, return_inverse=True)
    rest = ratings - ratings.mean() if len(ratings) else ratings
    for of in (items, person):
        counts = np.bincount(of) + RATING_SMOOTHING
        rest = rest - (np.bincount(of, rest) / counts)[of]
    places = torch.from_numpy(np.stack([items, person]).astype(np.int64))
    shape = (num_items, int(person.max(initial=-1)) + 1)
    values = torch.from_numpy(np.asarray(rest, dtype=np.float64))
    matrix = torch.sparse_coo_tensor(places, values, shape, check_invariants=False)
    return _factors(matrix.coalesce(), width)


def _factors(matrix: Float[Tensor, "I J"], width: int) -> Float[Tensor, "I D"]:
    """A sparse matrix's first left singular vectors times the roots of its singular values.

    Turned at random, so that no unit holds more than another, and of a standard deviation of 1.
    """
    rank = min(width, *matrix.shape)
    vectors = torch.zeros(len(matrix), width, dtype=torch.float64)
    if rank:
        left, singular, _ = torch.svd_lowrank(
            matrix, q=min(rank + OVERSAMPLING, *matrix.shape), niter=NUM_ITERATIONS
        )
        vectors[:, :rank] = left[:, :rank] * singular[:rank].sqrt()
    turn = torch.linalg.qr(torch.randn(width, width, dtype=torch.float64)).Q
    vectors = vectors @ turn
    return (vectors / vectors.std().clamp_min(torch.finfo(torch.float64).tiny)).float()
