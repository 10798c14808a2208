"""Packed batches, one class a kind of objective; their arrays are NumPy's or torch's."""

from typing import Any, Generic, NamedTuple, TypeVar

from jaxtyping import Float, Int, Int64

Array = TypeVar("Array")
"""``np.ndarray`` in the streams, ``torch.Tensor`` in training."""


def _count(is_counted: Any) -> int:
    return int(is_counted.sum())


class PackedBatch(NamedTuple, Generic[Array]):
    """Rows of windows, side by side."""

    input_ids: Int[Array, "B T"]
    documents: Int[Array, "B T"]
    """Number of the window within its row, from 1; 0 is padding."""
    labels: Int[Array, "B T"]
    """The next item, as a row of the catalog; below 0 (``ignore_index``) where none is learned."""
    label_weight: Float[Array, "B T"]
    total_weight: float
    """The divisor of sums over the targets: their weight, or this process's share of it where
    processes train together."""
    features: Int[Array, "B T"] | None = None
    """The token of the learned feature that comes next; ``ignore_index`` where there is none."""
    num_features: float = 0.0
    """The divisor of sums over features."""
    sources: Int[Array, "B T"] | None = None
    """The row of the log at every position, -1 for padding; None unless requested."""
    times: Int64[Array, "B T 2"] | None = None
    """The time of every position's event, and the time to which gaps are counted there, in
    microseconds since 1970; for models with a time bias."""
    targets: Int[Array, " N"] | None = None
    """The places, in the flattened rows, of labels that count; None: not looked for yet."""

    @property
    def num_targets(self) -> int:
        """Positions that go through the catalog head."""
        labels: Any = self.labels
        return _count(labels >= 0)


class PairBatch(NamedTuple, Generic[Array]):
    """Packed histories, and the candidates to score at some of their positions."""

    input_ids: Int[Array, "B T"]
    documents: Int[Array, "B T"]
    """Number of the window within its row, from 1; 0 is padding."""
    labels: Int[Array, "B T"]
    """The next item of the history; below 0 (``ignore_index``) at its end."""
    label_weight: Float[Array, "B T"]
    total_weight: float
    """The weight of the labels of all processes, divided by the number of processes."""
    rows: Int[Array, " N"]
    """The row of every scored position; ``columns`` is its column."""
    columns: Int[Array, " N"]
    candidates: Int[Array, "N K"]
    """Items to score at each of these positions, padded with item 0."""
    next_items: Int[Array, " N"]
    """The next item in the log, where it is known; else -1."""
    pairs: Int[Array, " P"]
    """The numbers of the pairs in their file."""
    chosen_at: Int[Array, "P L"]
    """The flat index in ``candidates`` of each item of the chosen answer; -1 is padding."""
    rejected_at: Int[Array, "P R L"]
    unrelated_at: Int[Array, "P L"]
    pair_weight: Float[Array, " P"]
    total_pair_weight: float
    """The weight of the pairs of all processes, divided by the number of processes."""
    targets: Int[Array, " M"] | None = None
    """The places, in the flattened rows, of labels that count; None: not looked for yet."""

    @property
    def num_targets(self) -> int:
        """Rows that go through the catalog head."""
        return len(self.rows) + self.histories.num_targets  # type: ignore[arg-type]

    @property
    def histories(self) -> PackedBatch[Array]:
        """The histories alone, as supervised training reads them."""
        return PackedBatch(*self[:5], targets=self.targets)


class RewardBatch(NamedTuple, Generic[Array]):
    """Packed histories with their ratings, and labelled answers at some of their positions."""

    input_ids: Int[Array, "B T"]
    ratings: Int[Array, "B T"]
    """Rows of the rating embedding."""
    documents: Int[Array, "B T"]
    """Number of the window within its row, from 1; 0 is padding."""
    rows: Int[Array, " S"]
    """The row of every answer's position; ``columns`` is its column."""
    columns: Int[Array, " S"]
    slates: Int[Array, "S K"]
    """The items of each answer; -1 after its end."""
    labels: Float[Array, " S"]
    """The quality of each answer, from 0 to 1."""
    events: Int[Array, " S"]
    """The number of each answer among all."""
    total_weight: float
    """The number of answers of all processes, divided by the number of processes."""

    @property
    def num_targets(self) -> int:
        """Items that go through the head."""
        slates: Any = self.slates
        return _count(slates >= 0)
