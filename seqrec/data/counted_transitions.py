"""Counts of what followed a title, looked up by ids."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from seqrec.data.item_table import ItemTable
from seqrec.data.prepared import PreparedData
from seqrec.data.transitions import Transitions, count_transitions


class Followed(NamedTuple):
    """Counts of the items that followed each item in training."""

    weight: float
    """A whole number of times, or a sum of weights that fall with the distance."""
    share: float
    """The weight, relative to everything that followed the first item."""


@dataclass(frozen=True)
class CountedTransitions:
    """Transitions between the items of one catalog."""

    transitions: Transitions
    table: ItemTable
    max_steps: int
    """Largest distance, in items of a history, that counts."""
    is_weighted: bool
    """Counts are sums of weights, not numbers of times."""

    @classmethod
    def count(cls, prepared: PreparedData, max_steps: int) -> "CountedTransitions":
        """Count the transitions of a prepared folder's training part."""
        counted = count_transitions(
            [prepared.histories()], prepared.num_items, distance_weights=[1.0] * max_steps
        )
        return cls(counted, ItemTable.build(prepared.items()), max_steps, is_weighted=False)

    def find(self, source_id: str, target_id: str) -> Followed | None:
        """Return how often the second item followed the first; None if it never did."""
        rows, unknown = self.table.find([source_id, target_id])
        if unknown:
            return None
        source, target = rows.tolist()
        first, end = self.transitions.first_edge[source : source + 2]
        edge = first + np.searchsorted(self.transitions.target[first:end], target)
        if edge == end or self.transitions.target[edge] != target:
            return None
        weight = float(self.transitions.weight[edge])
        return Followed(weight, weight / max(float(self.transitions.leaving[source]), weight))
