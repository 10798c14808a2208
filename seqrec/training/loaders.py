"""Batches for the Trainer."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int

from seqrec.tokens.packing import PackedHistories
from seqrec.training.sft import PackedTensors


class PackedLoader:
    """Packed batches of one epoch after the other; it knows where it is, so a run can resume."""

    def __init__(self, histories: PackedHistories) -> None:
        self.histories = histories
        self.epoch = 0
        self.next_batch = 0

    def __len__(self) -> int:
        return self.histories.num_batches

    def __iter__(self) -> Iterator[PackedTensors]:
        batches = self.histories.epoch(self.epoch)
        for number in range(self.next_batch, len(batches)):
            self.next_batch = number + 1
            if self.next_batch == len(batches):
                self.epoch, self.next_batch = self.epoch + 1, 0
            yield PackedTensors.of(self.histories.batch(batches[number]))

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.epoch, "next_batch": self.next_batch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.epoch, self.next_batch = state["epoch"], state["next_batch"]


class QueryLoader:
    """Rows of the validation queries, a batch at a time."""

    def __init__(self, num_queries: int, batch_size: int) -> None:
        self.num_queries = num_queries
        self.batch_size = batch_size

    def __len__(self) -> int:
        return -(-self.num_queries // self.batch_size)

    def __iter__(self) -> Iterator[Int[np.ndarray, " Q"]]:
        for start in range(0, self.num_queries, self.batch_size):
            yield np.arange(start, min(start + self.batch_size, self.num_queries))
