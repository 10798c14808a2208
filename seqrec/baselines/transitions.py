"""Transition baselines: first-order transitions, and a decayed graph over several steps."""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array

from seqrec.baselines.graph import ItemGraph
from seqrec.baselines.matrices import decayed
from seqrec.baselines.popularity import tie_breaker
from seqrec.data.histories import Histories
from seqrec.data.splits import TRAIN


def transition_graph(
    histories: Histories,
    num_items: int,
    *,
    max_steps: int = 10,
    edge_decay: float = 0.7,
    history_decay: float = 0.7,
) -> ItemGraph:
    """Fit a graph that scores items by how often and how soon they follow the last items.

    An item ``d`` steps after another adds ``edge_decay ** (d - 1)`` to the edge between them, for
    ``d`` up to ``max_steps``; the edges from an item sum to 1. Edges from the last ``max_steps``
    items of a history are summed, with a factor ``history_decay`` for every step back.
    """
    return ItemGraph(
        "transition-graph",
        successor_edges(histories, num_items, max_steps, edge_decay),
        tie_breaker(histories, num_items),
        get_weights=decayed(history_decay),
        max_steps=max_steps,
    )


def first_order_transitions(histories: Histories, num_items: int) -> ItemGraph:
    """Fit a first-order Markov chain: the graph of direct successors of the last item."""
    return ItemGraph(
        "transitions",
        successor_edges(histories, num_items, 1, 1.0),
        tie_breaker(histories, num_items),
        get_weights=decayed(1.0),
        max_steps=1,
    )


def successor_edges(
    histories: Histories, num_items: int, max_steps: int, edge_decay: float
) -> csr_array:
    """Return the decayed counts of the successors of each item in training, normalised to sum 1."""
    weights = [edge_decay ** (distance - 1) for distance in range(1, max_steps + 1)]
    edges = count_successors(histories, num_items, weights)
    edges.data /= np.repeat(edges.sum(axis=1), np.diff(edges.indptr))
    return edges


def count_successors(
    histories: Histories, num_items: int, distance_weights: Sequence[float]
) -> csr_array:
    """Return the weighted counts of the successors of each item in training.

    Args:
        histories: interactions with their split.
        num_items: catalog size.
        distance_weights: weight of a pair of items that are 1, 2, ... steps apart.
    """
    in_training = histories.split == TRAIN
    items = histories.items[in_training]
    lengths = np.diff(histories.offsets)
    owner = np.repeat(np.arange(len(lengths)), lengths)[in_training]
    shape = (num_items, num_items)
    edges = csr_array(shape)
    for distance, distance_weight in enumerate(distance_weights, 1):
        same_user = owner[distance:] == owner[:-distance]
        pairs = items[:-distance][same_user], items[distance:][same_user]
        weight = np.full(len(pairs[0]), distance_weight)
        edges = edges + csr_array((weight, pairs), shape=shape)
    edges.eliminate_zeros()
    return edges
