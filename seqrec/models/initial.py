"""Item vectors that training starts from: what stands near what in histories, factorised."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

CONTEXT_POWER = 0.75
"""Of an item's weight as a neighbour: rare ones are less surprising than they seem."""
NUM_ITERATIONS = 8
OVERSAMPLING = 16


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
    rank = min(width, num_items)
    left, singular, _ = torch.svd_lowrank(
        matrix, q=min(rank + OVERSAMPLING, num_items), niter=NUM_ITERATIONS
    )
    vectors = torch.zeros(num_items, width, dtype=torch.float64)
    vectors[:, :rank] = left[:, :rank] * singular[:rank].sqrt()
    turn = torch.linalg.qr(torch.randn(width, width, dtype=torch.float64)).Q
    vectors = vectors @ turn
    return (vectors / vectors.std().clamp_min(torch.finfo(torch.float64).tiny)).float()
