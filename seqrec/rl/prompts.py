"""Prompts: histories cut inside the training part, with the interactions after the cut."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from seqrec.data.histories import Histories
from seqrec.data.splits import TRAIN
from seqrec.errors import SeqRecError

MIN_LENGTH = 2
"""Smallest number of training interactions of a history that can be cut."""
HELD_OUT_STREAM = 0
UPDATE_STREAM = 1
"""Random streams of the guard's prompts and of the prompts of updates."""


@dataclass(frozen=True)
class Prompts:
    """Histories, and the interactions that follow each inside the training part."""

    users: Int[np.ndarray, " B"]
    histories: list[Int[np.ndarray, " T"]]
    later: list[Int[np.ndarray, " L"]]
    """Items that follow the history and belong to the training part."""
    later_ratings: list[Float[np.ndarray, " L"]] | None = None
    """The user's ratings of these items, scaled from 0 (worst of the log) to 1 (best)."""
    past_ratings: list[Float[np.ndarray, " T"]] | None = None
    """The user's ratings of the history's items, as in the log; NaN if unrated."""
    plans: Int[np.ndarray, "B G P"] | None = None
    """Codes of the plan before each scored slate, if the policy plans."""

    def __len__(self) -> int:
        return len(self.histories)


def select_prompts(prompts: Prompts, part: slice) -> Prompts:
    """Return a part of the prompts."""
    return replace(
        prompts,
        users=prompts.users[part],
        histories=prompts.histories[part],
        later=prompts.later[part],
        later_ratings=None if prompts.later_ratings is None else prompts.later_ratings[part],
        past_ratings=None if prompts.past_ratings is None else prompts.past_ratings[part],
    )


@dataclass
class HeldOutPrompts:
    """Prompts of held-out users, and the metrics of a policy on them."""

    prompts: Prompts
    metric: Callable[[], float]
    """Returns a ranking metric of the current policy."""
    genres: Bool[np.ndarray, "I G"] | None = None
    """Genres of every item, for the shift of their mix; None if they are unknown."""


class PromptSource:
    """Prompts of updates: users drawn at random, each history cut at a random position.

    The prompts of an update depend on seed and number of the update only. They contain training
    interactions only, none of validation or test.
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
        """Split the users into training and held-out users.

        Args:
            histories: interactions, with the column ``rating`` if rewards need it.
            levels: holdout level of each user, from 0 to 1 (``holdout_levels``).
            num_prompts: number of prompts of an update.
            held_out_share: users with a level below it are held out of training.
            max_later: largest number of interactions after the cut that rewards read.
            seed: seed of all draws.

        Raises:
            SeqRecError: no user has a history that can be cut, or all of them are held out.
        """
        self._histories = histories
        in_training = histories.split == TRAIN
        starts = histories.offsets[:-1]
        self._starts = starts
        so_far = np.concatenate([[0], np.cumsum(in_training)])
        self._lengths = so_far[histories.offsets[1:]] - so_far[starts]
        users = np.flatnonzero(self._lengths >= MIN_LENGTH)
        self.num_too_short = len(self._lengths) - len(users)
        """Users with too few training interactions for a cut."""
        if not len(users):
            raise SeqRecError(
                "no user has two interactions in the training part, which rewards need"
            )
        is_held_out = levels[users] < held_out_share
        self.held_out_users, self.users = users[is_held_out], users[~is_held_out]
        if not len(self.users):
            raise SeqRecError(
                f"objective.held_out_share {held_out_share:g}: leaves no user to train on; lower it"
            )
        self._num_prompts = num_prompts
        self._max_later = max_later
        self._seed = seed
        ratings = histories.columns.get("rating")
        self._ratings = ratings
        self._scaled_ratings = None if ratings is None else _scale_ratings(ratings, in_training)

    def __call__(self, update: int) -> Prompts:
        """Return the prompts of an update."""
        rng = np.random.default_rng(np.random.SeedSequence([self._seed, UPDATE_STREAM, update]))
        users = rng.choice(self.users, size=self._num_prompts)
        return self._cut(users, rng)

    def get_max_seen(self) -> int:
        """Return the largest number of different items in a prompt's history."""
        pairs = zip(self._starts, self._starts + self._lengths, strict=True)
        return max(len(np.unique(self._histories.items[a:b])) for a, b in pairs)

    def held_out(self, num_prompts: int) -> Prompts:
        """Return prompts of held-out users, the same at every call."""
        rng = np.random.default_rng(np.random.SeedSequence([self._seed, HELD_OUT_STREAM, 1]))
        users = self.held_out_users if len(self.held_out_users) else self.users
        return self._cut(rng.permutation(users)[:num_prompts], rng)

    def _cut(
        self, users: Sequence[int] | Int[np.ndarray, " B"], rng: np.random.Generator
    ) -> Prompts:
        users = np.asarray(users)
        cuts = rng.integers(1, self._lengths[users])
        histories, later, later_ratings, past = [], [], [], []
        for user, cut in zip(users, cuts, strict=True):
            start = self._starts[user]
            end = min(start + cut + self._max_later, start + self._lengths[user])
            histories.append(self._histories.items[start : start + cut])
            later.append(self._histories.items[start + cut : end])
            if self._ratings is not None and self._scaled_ratings is not None:
                later_ratings.append(self._scaled_ratings[start + cut : end])
                past.append(self._ratings[start : start + cut])
        if self._ratings is None:
            return Prompts(users, histories, later)
        return Prompts(users, histories, later, later_ratings=later_ratings, past_ratings=past)


def _scale_ratings(ratings: np.ndarray, in_training: np.ndarray) -> np.ndarray:
    """Scale ratings from 0 (worst of the training part) to 1 (best); unknown ones are 0."""
    known = ratings[in_training]
    low, high = np.nanmin(known), np.nanmax(known)
    return np.nan_to_num((ratings - low) / max(high - low, 1e-9))
