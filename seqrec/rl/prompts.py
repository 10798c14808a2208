"""Where prompts come from: histories cut inside the training part, of which the rest is known."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from seqrec.data.histories import Histories
from seqrec.data.splits import TRAIN
from seqrec.errors import SeqRecError

MIN_LENGTH = 2
"""Interactions of a history that can be cut."""
HOLDING = 0
DRAWING = 1
"""Streams of random numbers: what the guard asks, and what is asked when."""


@dataclass(frozen=True)
class Prompts:
    """Histories, and what became of each inside the training period."""

    users: Int[np.ndarray, " B"]
    histories: list[Int[np.ndarray, " T"]]
    later: list[Int[np.ndarray, " L"]]
    """Items that follow the history and belong to the training part."""
    later_ratings: list[Float[np.ndarray, " L"]] | None = None
    """How the user rated these, from 0, the worst of the log, to 1, the best."""
    past_ratings: list[Float[np.ndarray, " T"]] | None = None
    """How the user rated the titles of the history, as in the log; NaN where not."""
    plans: Int[np.ndarray, "B G P"] | None = None
    """Codes of what was planned before each slate that is scored, if the policy plans."""

    def __len__(self) -> int:
        return len(self.histories)


class PromptSource:
    """Prompts of an update: users drawn at random, each history cut at a random place.

    What is asked in an update depends on the seed and its number alone. A task knows of its user
    what stands in the training part, and nothing of validation or test.
    """

    def __init__(
        self,
        histories: Histories,
        levels: Float[np.ndarray, " U"],
        *,
        num_prompts: int,
        held_out_share: float,
        max_later: int,
        seed: int,
    ) -> None:
        """Choose who is asked.

        Args:
            histories: interactions, with the column ``rating`` if rewards need it.
            levels: of the users, from 0 to 1 (``holdout_levels``).
            num_prompts: of an update.
            held_out_share: users of a level below it are never asked in training.
            max_later: interactions after the cut that rewards may know.
            seed: of all draws.

        Raises:
            SeqRecError: nobody has a history that can be cut.
        """
        self._histories = histories
        in_training = histories.split == TRAIN
        starts = histories.offsets[:-1]
        self._starts = starts
        so_far = np.concatenate([[0], np.cumsum(in_training)])
        self._lengths = so_far[histories.offsets[1:]] - so_far[starts]
        users = np.flatnonzero(self._lengths >= MIN_LENGTH)
        self.num_too_short = len(self._lengths) - len(users)
        """Users with nothing before a cut, or nothing after it: they are not asked."""
        if not len(users):
            raise SeqRecError("nobody has two interactions in the training part: nothing to reward")
        is_held = levels[users] < held_out_share
        self.held_out_users, self.users = users[is_held], users[~is_held]
        if not len(self.users):
            raise SeqRecError(f"a held-out share of {held_out_share:g} leaves nobody to learn from")
        self._num_prompts = num_prompts
        self._max_later = max_later
        self._seed = seed
        ratings = histories.columns.get("rating")
        self._ratings = ratings
        self._worth = None if ratings is None else _from_0_to_1(ratings, in_training)

    def __call__(self, update: int) -> Prompts:
        """The prompts of an update."""
        rng = np.random.default_rng(np.random.SeedSequence([self._seed, DRAWING, update]))
        users = rng.choice(self.users, size=self._num_prompts)
        return self._cut(users, rng)

    def most_seen(self) -> int:
        """Different items that a task's history may hold at most."""
        pairs = zip(self._starts, self._starts + self._lengths, strict=True)
        return max(len(np.unique(self._histories.items[a:b])) for a, b in pairs)

    def held_out(self, num_prompts: int) -> Prompts:
        """Prompts of users that training never asks, the same whenever they are wanted."""
        rng = np.random.default_rng(np.random.SeedSequence([self._seed, HOLDING, 1]))
        users = self.held_out_users if len(self.held_out_users) else self.users
        return self._cut(rng.permutation(users)[:num_prompts], rng)

    def _cut(
        self, users: Sequence[int] | Int[np.ndarray, " B"], rng: np.random.Generator
    ) -> Prompts:
        users = np.asarray(users)
        cuts = rng.integers(1, self._lengths[users])
        histories, later, worth, past = [], [], [], []
        for user, cut in zip(users, cuts, strict=True):
            start = self._starts[user]
            end = min(start + cut + self._max_later, start + self._lengths[user])
            histories.append(self._histories.items[start : start + cut])
            later.append(self._histories.items[start + cut : end])
            if self._ratings is not None and self._worth is not None:
                worth.append(self._worth[start + cut : end])
                past.append(self._ratings[start : start + cut])
        if self._ratings is None:
            return Prompts(users, histories, later)
        return Prompts(users, histories, later, later_ratings=worth, past_ratings=past)


def _from_0_to_1(ratings: np.ndarray, in_training: np.ndarray) -> np.ndarray:
    """Ratings as shares of the way from the worst of the training part to its best.

    Unknown ones are 0.
    """
    known = ratings[in_training]
    low, high = np.nanmin(known), np.nanmax(known)
    return np.nan_to_num((ratings - low) / max(high - low, 1e-9))
