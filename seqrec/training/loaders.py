"""Batches for the Trainer."""

from collections.abc import Iterator

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
