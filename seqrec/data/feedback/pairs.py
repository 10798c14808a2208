"""Comparisons of answers, in rows of the catalog."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int

from seqrec.data.feedback.answers import NO_ITEM
from seqrec.data.feedback.holdout import holdout_levels
from seqrec.data.feedback.ragged import Ragged

IMPLICIT = "implicit"
"""The source of pairs whose chosen item is the user's next one."""


@dataclass(frozen=True)
class Pairs:
    """Comparisons in rows of the catalog, without unusable rows."""

    user_ids: list[str | None]
    sources: list[str | None]
    histories: Ragged
    chosen: Int[np.ndarray, "P L"]
    """Items of the chosen answer; -1 behind its end, and everywhere if there is none."""
    rejected: Int[np.ndarray, "P R L"]
    """Items of every rejected answer, padded with -1."""
    is_next: Bool[np.ndarray, " P"]
    """True if the chosen item is the user's next one."""
    weight: Float[np.ndarray, " P"]
    fingerprint: str
    """SHA-256 of the file."""
    counts: dict[str, int]
    """Number of rows in the file, of used rows, and of skipped rows by reason."""
    num_items: int
    """Number of items that the model learns; later (cold-start) items occur in histories only."""
    unknown: dict[str, str] = field(default_factory=dict)
    """The first unknown id of each count of unknown ids."""

    def __len__(self) -> int:
        return len(self.weight)

    @property
    def is_one_sided(self) -> Bool[np.ndarray, " P"]:
        """True for pairs of a like or a dislike alone."""
        return (self.chosen[:, 0] == NO_ITEM) | (self.rejected[:, :, 0] == NO_ITEM).all(axis=1)

    def is_held_out(self, share: float) -> Bool[np.ndarray, " P"]:
        """Return a mask of the pairs of about this share of users.

        The user's id decides, or the history of a pair without one; other pairs do not matter.
        """
        starts = self.histories.starts
        keys = [
            self.histories.get(row, starts[row]).tobytes().hex() if user_id is None else user_id
            for row, user_id in enumerate(self.user_ids)
        ]
        unique = list(dict.fromkeys(keys))
        level = dict(zip(unique, holdout_levels(unique).tolist(), strict=True))
        return np.array([level[key] < share for key in keys], dtype=bool)

    def unrelated(self) -> Int[np.ndarray, "P L"]:
        """Return for every pair the answer of another pair, assigned at random."""
        has_chosen = self.chosen[:, 0] != NO_ITEM
        answers = np.where(has_chosen[:, None], self.chosen, self.rejected[:, 0])
        order = np.random.default_rng(0).permutation(len(self))
        unrelated = np.empty_like(answers)
        unrelated[order] = answers[np.roll(order, 1)]
        return unrelated
