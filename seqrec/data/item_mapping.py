"""Items of two catalogs matched by id: the same titles in other rows, fewer titles, more titles."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

NUM_EXAMPLES = 3
"""Ids that a message names."""


@dataclass(frozen=True)
class ItemMapping:
    """The rows that items of a model's catalog have in the catalog of data, and the reverse."""

    to_data: Int[np.ndarray, " I"]
    """The data's item of every item of the model; -1 where the data lack it."""
    to_model: Int[np.ndarray, " J"]
    """The model's item of every item of the data; -1 where the model lacks it."""
    unknown_ids: list[str]
    """Ids of the data that the model lacks, in the data's order."""
    missing_ids: list[str]
    """Ids of the model that the data lack, in the model's order."""

    @classmethod
    def between(cls, model_ids: Sequence[str], data_ids: Sequence[str]) -> "ItemMapping":
        """Match two catalogs by id."""
        in_model = {item_id: item for item, item_id in enumerate(model_ids)}
        to_model = np.array([in_model.get(item_id, -1) for item_id in data_ids], dtype=np.int64)
        to_data = np.full(len(model_ids), -1, dtype=np.int64)
        is_known = to_model >= 0
        to_data[to_model[is_known]] = np.flatnonzero(is_known)
        return cls(
            to_data,
            to_model,
            [data_ids[item] for item in np.flatnonzero(~is_known).tolist()],
            [model_ids[item] for item in np.flatnonzero(to_data < 0).tolist()],
        )

    @property
    def is_same_set(self) -> bool:
        """True if both catalogs hold the same ids, in whatever order."""
        return not self.unknown_ids and not self.missing_ids

    def describe(self, model: str, data: str) -> list[str]:
        """Return a sentence for each kind of difference, with the first ids; none for one set.

        Args:
            model: name of the model.
            data: name of the data.
        """
        differences = []
        if self.unknown_ids:
            ids, total = self.unknown_ids, len(self.to_model)
            differences.append(
                f"{len(ids):,} of {total:,} items of {data} are unknown to {model}: {_list(ids)}"
            )
        if self.missing_ids:
            ids, total = self.missing_ids, len(self.to_data)
            differences.append(
                f"{len(ids):,} of {total:,} items of {model} are not in {data}: {_list(ids)}"
            )
        return differences


def _list(ids: Sequence[str]) -> str:
    """Return the first ids as text."""
    more = ", ..." if len(ids) > NUM_EXAMPLES else ""
    return ", ".join(map(repr, ids[:NUM_EXAMPLES])) + more
