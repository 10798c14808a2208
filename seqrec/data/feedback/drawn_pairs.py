"""Pairs drawn from a log: by ratings of one user, or the next item against a policy's list."""

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from jaxtyping import Int

from seqrec.data.feedback.pairs_file import build_pairs_table
from seqrec.data.histories import Histories
from seqrec.data.prepared import PreparedData


@dataclass
class DrawnPairs:
    """Comparisons after prefixes of users' training histories."""

    users: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    """Number of training interactions in the history."""
    chosen: list[int] = field(default_factory=list)
    rejected: list[list[int]] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    """Number of draws without a comparison, by reason."""

    def __len__(self) -> int:
        return len(self.users)


def get_generator(user_id: str, seed: int) -> np.random.Generator:
    """Return a generator that depends on the user's id and the seed alone."""
    digest = hashlib.sha256(user_id.encode("utf-8", "surrogatepass")).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "big")])


def draw_rated(
    histories: Histories,
    user_ids: list[str],
    *,
    liked: float,
    disliked: float,
    per_user: int,
    horizon: int,
    min_history: int,
    seed: int,
) -> DrawnPairs:
    """Draw an item that a user rated high against one that the same user rated low.

    A position in the training history is drawn; both items are drawn from the next ``horizon``
    interactions, in any order.

    Args:
        histories: histories with a column ``rating``.
        user_ids: ids of the users.
        liked: lowest rating of a chosen item.
        disliked: highest rating of a rejected item.
        per_user: maximum number of comparisons of a user.
        horizon: number of interactions after the history from which items are drawn.
        min_history: minimum length of the history.
        seed: seed of the draws.
    """
    pairs = DrawnPairs()
    for user, user_id in enumerate(user_ids):
        items = histories.training_part(user)
        ratings = histories.training_part(user, "rating")
        generator = get_generator(user_id, seed)
        if len(items) < min_history + 2:
            pairs.skipped["users_of_short_histories"] += 1
            continue
        taken = set()
        for end in np.sort(generator.integers(min_history, len(items) - 1, per_user)).tolist():
            after = slice(end, end + horizon)
            better = items[after][ratings[after] >= liked]
            worse = items[after][ratings[after] <= disliked]
            if not len(better) or not len(worse):
                pairs.skipped["positions_without_both_ratings"] += 1
                continue
            pair = (end, int(generator.choice(better)), int(generator.choice(worse)))
            if pair in taken or pair[1] == pair[2]:
                pairs.skipped["drawn_twice"] += 1
                continue
            taken.add(pair)
            pairs.users.append(user)
            pairs.ends.append(end)
            pairs.chosen.append(pair[1])
            pairs.rejected.append([pair[2]])
    return pairs


def draw_next(
    histories: Histories, user_ids: list[str], *, per_user: int, min_history: int, seed: int
) -> DrawnPairs:
    """Draw users' next items at positions of their training histories, without rejected items.

    Args:
        histories: histories, whose training part is used.
        user_ids: ids of the users.
        per_user: maximum number of positions of a user.
        min_history: minimum length of the history.
        seed: seed of the draws.
    """
    pairs = DrawnPairs()
    for user, user_id in enumerate(user_ids):
        items = histories.training_part(user)
        ends = np.arange(min_history, len(items))
        pairs.skipped["users_of_short_histories"] += not len(ends)
        if len(ends) > per_user:
            ends = np.sort(get_generator(user_id, seed).choice(ends, per_user, replace=False))
        for end in ends.tolist():
            if items[end] in items[:end]:  # seen items cannot be recommended
                pairs.skipped["positions_before_a_repeat"] += 1
                continue
            pairs.users.append(user)
            pairs.ends.append(end)
            pairs.chosen.append(int(items[end]))
            pairs.rejected.append([])
    return pairs


def draw_rejected(
    drawn: DrawnPairs,
    histories: Histories,
    user_ids: list[str],
    rank: Callable[[list[np.ndarray]], Int[np.ndarray, "Q K"]],
    *,
    num_rejected: int,
    seed: int,
    batch_size: int = 2048,
) -> DrawnPairs:
    """Return the same comparisons with rejected items from a policy's recommendations.

    Items are drawn at random from the policy's lists, without the items of the user's training
    history. Held-out interactions are not read: their items can be drawn like any unseen item.

    Args:
        drawn: histories and chosen items.
        histories: histories, whose training part is used.
        user_ids: ids of the users.
        rank: returns the policy's best unseen items after some histories.
        num_rejected: maximum number of rejected items of a comparison; comparisons without any
            are skipped.
        seed: seed of the draws.
        batch_size: number of histories that are ranked at once.
    """
    pairs = DrawnPairs(skipped=drawn.skipped.copy())
    training_parts: dict[int, np.ndarray] = {}
    generators: dict[int, np.random.Generator] = {}
    for start in range(0, len(drawn), batch_size):
        rows = range(start, min(start + batch_size, len(drawn)))
        for row in rows:
            user = drawn.users[row]
            if user not in training_parts:
                training_parts[user] = histories.training_part(user)
        lists = rank(
            [training_parts[drawn.users[row]][: drawn.ends[row]].astype(np.int64) for row in rows]
        )
        for row, ranked in zip(rows, lists, strict=True):
            user = drawn.users[row]
            if user not in generators:
                generators[user] = get_generator(user_ids[user], seed + 1)
            unseen = ranked[(ranked >= 0) & ~np.isin(ranked, training_parts[user])]
            if not len(unseen):
                pairs.skipped["lists_of_seen_items"] += 1
                continue
            count = min(num_rejected, len(unseen))
            rejected = generators[user].choice(unseen, count, replace=False)
            pairs.users.append(user)
            pairs.ends.append(drawn.ends[row])
            pairs.chosen.append(drawn.chosen[row])
            pairs.rejected.append(rejected.tolist())
    return pairs


def drawn_to_table(
    drawn: DrawnPairs, histories: Histories, data: PreparedData, *, max_history: int, source: str
) -> pl.DataFrame:
    """Return drawn comparisons as the rows of a pairs file.

    Args:
        drawn: the comparisons.
        histories: the histories behind them.
        data: the ids of users and items.
        max_history: number of the last items of a history to write.
        source: origin of the comparisons.
    """
    item_ids = data.items()["item_id"].to_list()
    user_ids = data.users()["user_id"].to_list()
    shown = []
    for user, end in zip(drawn.users, drawn.ends, strict=True):
        items = histories.training_part(user)[:end][-max_history:]
        shown.append([item_ids[item] for item in items])
    return build_pairs_table(
        [user_ids[user] for user in drawn.users],
        shown,
        [item_ids[item] for item in drawn.chosen],
        [[item_ids[item] for item in items] for items in drawn.rejected],
        source=source,
    )
