"""What every objective consists of that steps through batches of the log."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from seqrec.training.loaders import PackedLoader
from seqrec.training.module import Objective
from seqrec.training.preference import PairWatch


class Learning(NamedTuple):
    """What a recipe's objective gives beside the model."""

    loader: PackedLoader
    objective: Objective
    """The loss of a batch under a model."""
    item_counts: Int[np.ndarray, " I"]
    """Training interactions of every item."""
    num_scored: int
    """Items that a target is scored against, itself among them."""
    is_sparse: bool = False
    """Whether a step touches only the rows that it used."""
    watched: PairWatch | None = None
    """What is judged beside the ranking after every epoch."""
    facts: dict[str, Any] = {}
    """For ``metrics.json``."""
