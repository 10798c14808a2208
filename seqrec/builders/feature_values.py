"""The vocabulary of an event feature: the values that occur in training."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from seqrec.data.histories import Blocks
from seqrec.data.splits import TRAIN
from seqrec.errors import SeqRecError
from seqrec.tokens.events.coder import log_values
from seqrec.tokens.events.features import Feature
from seqrec.tokens.events.log import feature_key
from seqrec.tokens.events.values import bucket_names, is_missing, value_text


class FeatureValues:
    """Collects the values or buckets of a feature."""

    def __init__(self, feature: Feature, max_values: int) -> None:
        """Start without values.

        Args:
            feature: a feature, whose own values are ignored.
            max_values: largest number of values; more are an error.
        """
        self.feature = feature
        self.max_values = max_values
        self.values: set[float | str] = set()
        self.buckets: set[int] = set()

    def add(self, values: np.ndarray) -> None:
        """Add the values that are not missing."""
        known = [value for value in np.unique(values).tolist() if not is_missing(value)]
        if self.feature.edges is None:
            self.values.update(known)
            count = len(self.values)
        else:
            numbers = self.feature.numbers(np.array(known, dtype=values.dtype))
            buckets = np.searchsorted(self.feature.edges, numbers, side="right")
            self.buckets.update(buckets.tolist())
            count = len(self.buckets)
        if count > self.max_values:
            raise SeqRecError(
                f"{feature_key(self.feature)}: has more than {self.max_values} values in training; "
                "give buckets, or a larger max_values"
            )

    def add_training(self, blocks: Blocks) -> None:
        """Add the values of the log's training part."""
        for block in range(len(blocks)):
            histories = blocks.read([block])
            self.add(log_values(self.feature, histories)[histories.split == TRAIN])

    def to_feature(self) -> Feature:
        """Return the feature with the collected values, in ascending order."""
        edges = self.feature.edges
        if edges is None:
            texts = [value_text(value) for value in sorted(self.values)]  # type: ignore[type-var]
            values = list(dict.fromkeys(texts))
        else:
            names = bucket_names(edges)
            values = [names[bucket] for bucket in sorted(self.buckets)]
        if not values:
            raise SeqRecError(
                f"{feature_key(self.feature)}: has no value in training; name another column"
            )
        return replace(self.feature, values=tuple(values))


def mark_dropped(feature: Feature, values: Sequence[str | float]) -> Feature:
    """Return the feature with these of its values marked: histories lack their events.

    Raises:
        SeqRecError: a value that does not occur in training.
    """
    texts = tuple(map(value_text, values))
    for text in texts:
        if text not in feature.values:
            raise SeqRecError(
                f"{feature_key(feature)}: drop {text}: does not occur in training; choose from "
                f"{', '.join(feature.values)}"
            )
    return replace(feature, dropped=texts)
