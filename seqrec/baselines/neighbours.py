"""Item-based nearest neighbours by co-occurrence in users' histories."""

import numpy as np
from scipy.sparse import csr_array, vstack

from seqrec.baselines.graph import ItemGraph
from seqrec.baselines.matrices import decayed, training_matrix, without_repeats
from seqrec.baselines.popularity import tie_breaker
from seqrec.data.histories import Histories

BLOCK_ITEMS = 1024
"""Number of items whose neighbours are computed at once."""


def item_knn(
    histories: Histories,
    num_items: int,
    *,
    num_neighbours: int = 100,
    shrinkage: float = 30.0,
    target_power: float = 0.6,
    history_decay: float = 0.5,
) -> ItemGraph:
    """Fit a graph of item similarities; a history scores items by similarity to its items.

    With ``n_i`` and ``n_j`` users of two items, and ``n_ij`` users of both, the similarity is
    ``n_ij / (n_i ** (1 - target_power) * n_j ** target_power + shrinkage)``.

    Args:
        histories: interactions; the training part is counted.
        num_items: catalog size.
        num_neighbours: number of neighbours per item, plus ties with the last one.
        shrinkage: number of pseudo-users that shrinks the similarity of rare pairs.
        target_power: exponent of the popularity of the recommended item in the denominator.
        history_decay: factor of an item's weight for every step back in the history.

    Source: Deshpande and Karypis 2004 with the asymmetric cosine of Aiolli 2013, equation 4; a
        power of one half gives the cosine. The decay is ours.
    """
    matrix = training_matrix(histories, num_items).astype(np.float64)
    by_item = matrix.T.tocsr()
    num_users = np.asarray(matrix.sum(axis=0))
    sources, targets = num_users ** (1 - target_power), num_users**target_power
    blocks = []
    for start in range(0, num_items, BLOCK_ITEMS):
        stop = min(start + BLOCK_ITEMS, num_items)
        similar = (by_item[start:stop] @ matrix).tocoo()
        rows, columns = similar.coords
        sums = similar.data / (sources[start + rows] * targets[columns] + shrinkage)
        sums[start + rows == columns] = 0
        block = csr_array((sums, (rows, columns)), shape=similar.shape)
        blocks.append(keep_nearest(block, num_neighbours))
    return ItemGraph(
        "item-knn",
        vstack(blocks, format="csr"),
        tie_breaker(histories, num_items),
        get_weights=decayed(history_decay),
        preprocess=without_repeats,
    )


def keep_nearest(similarity: csr_array, num_neighbours: int) -> csr_array:
    """Keep the largest ``num_neighbours`` values of every row, and ties with the least of them."""
    values = similarity.data
    for start, stop in zip(similarity.indptr[:-1], similarity.indptr[1:], strict=True):
        row = values[start:stop]
        if len(row) > num_neighbours:
            row[row < np.partition(row, -num_neighbours)[-num_neighbours]] = 0
    similarity.eliminate_zeros()
    return similarity
