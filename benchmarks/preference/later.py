"""What people did later with the titles that a model recommended: liked, disliked, or watched."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.quality.table import seqrec
from seqrec.evaluation.significance import bootstrap_interval, paired_randomization

LIKED, DISLIKED = 4, 2
DEPTH, DEEP = 10, 50
LIKED_HITS = "liked among hits of the top 10"
SEED = 0


@dataclass(frozen=True)
class Judged:
    """Per user, NaN where a metric asks for titles that the user does not have."""

    values: Mapping[str, np.ndarray]
    """By metric, of the users in the order of the data."""
    liked: np.ndarray
    """By depth from 1 on and user: the share of the titles later liked that stand so high."""
    disliked: np.ndarray
    """By depth and user: whether a title later disliked stands so high."""

    @classmethod
    def mean_of(cls, runs: Sequence["Judged"]) -> "Judged":
        """The mean over seeds, user by user."""
        names = runs[0].values
        return cls(
            {name: np.mean([run.values[name] for run in runs], axis=0) for name in names},
            np.mean([run.liked for run in runs], axis=0),
            np.mean([run.disliked for run in runs], axis=0),
        )

    def disliked_at_recall(self, recall: float) -> np.ndarray:
        """By user: whether lists cut where they recall so much of what was liked hold a disliked
        title; between two depths in proportion."""
        curve = np.nanmean(self.liked, axis=1)
        depth = np.interp(recall, curve, np.arange(len(curve)))
        low = int(depth)
        high, share = min(low + 1, len(curve) - 1), depth - low
        return (1 - share) * self.disliked[low] + share * self.disliked[high]

    def mean(self, metric: str) -> float:
        """Over the users who have it."""
        return float(np.nanmean(self.values[metric]))


def judged(run: Path, data: Path, *options: str) -> Judged:
    """How a run's lists meet the held-out titles of ``last-n``; options of ``seqrec recommend``."""
    file = run / "lists.parquet"
    seqrec(
        *("recommend", str(run), "--data", str(data), "--k", str(DEEP)),
        *("--out", str(file), "--overwrite", *options),
    )
    lists = pl.read_parquet(file).select("user_id", "item_id", "rank")
    users = pl.read_parquet(data / "users.parquet").select("user_id").with_row_index("user")
    items = pl.read_parquet(data / "items.parquet").select("item_id").with_row_index("item")
    rows = pl.read_parquet(data / "interactions.parquet").with_columns(
        pl.col("user").cast(pl.UInt32), pl.col("item").cast(pl.UInt32)
    )
    later = rows.filter(pl.col("split") == pl.col("split").max()).select("user", "item", "rating")
    found = (
        later.join(items, on="item")
        .join(users, on="user")
        .join(lists, on=["user_id", "item_id"], how="left")
    )
    return Judged(per_user(found, len(users)), *by_depth(found, len(users)))


def per_user(found: pl.DataFrame, num_users: int) -> dict[str, np.ndarray]:
    """The metrics, from every later title with its rating and its rank, if it was recommended."""
    is_liked, is_disliked = pl.col("rating") >= LIKED, pl.col("rating") <= DISLIKED
    in_top, gain = pl.col("rank") <= DEPTH, 1 / (pl.col("rank") + 1).log(2)
    ideal = (1 / np.log2(np.arange(DEPTH) + 2)).cumsum()
    table = found.group_by("user").agg(
        pl.len().alias("num"),
        (in_top.fill_null(False)).sum().alias("hits"),
        pl.col("rank").is_not_null().sum().alias("deep_hits"),
        is_liked.sum().alias("num_liked"),
        (is_liked & in_top).fill_null(False).sum().alias("liked_hits"),
        (gain.filter(is_liked & in_top)).sum().alias("liked_gain"),
        is_disliked.sum().alias("num_disliked"),
        (is_disliked & in_top).fill_null(False).any().alias("has_disliked"),
    )
    best = ideal[np.minimum(np.maximum(table["num_liked"].to_numpy(), 1), DEPTH) - 1]
    liked = table["num_liked"].to_numpy().astype(float)
    liked[liked == 0] = np.nan
    hits = table["hits"].to_numpy().astype(float)
    hits[hits == 0] = np.nan
    columns = {
        f"recall@{DEPTH}": table["hits"].to_numpy() / table["num"].to_numpy(),
        f"recall@{DEEP}": table["deep_hits"].to_numpy() / table["num"].to_numpy(),
        "ndcg@10 on liked": table["liked_gain"].to_numpy() / best * (liked / liked),
        LIKED_HITS: table["liked_hits"].to_numpy() / hits,
        "recall@10 on liked": table["liked_hits"].to_numpy() / liked,
        "lists with a disliked title": np.where(
            table["num_disliked"].to_numpy() > 0, table["has_disliked"].to_numpy(), np.nan
        ).astype(float),
    }
    answers = {}
    for name, values in columns.items():
        answers[name] = np.full(num_users, np.nan)
        answers[name][table["user"].to_numpy()] = values
    return answers


def by_depth(found: pl.DataFrame, num_users: int) -> tuple[np.ndarray, np.ndarray]:
    """What ``Judged`` holds by depth; NaN of users who liked, or disliked, nothing later."""
    curves = []
    for which in (pl.col("rating") >= LIKED, pl.col("rating") <= DISLIKED):
        titles = found.filter(which)
        users, ranks = titles["user"].to_numpy(), titles["rank"].fill_null(DEEP + 1).to_numpy()
        num = np.bincount(users, minlength=num_users).astype(float)
        num[num == 0] = np.nan
        hits = [np.bincount(users[ranks <= d], minlength=num_users) for d in range(1, DEEP + 1)]
        curves.append((np.stack(hits), num))
    (liked, num_liked), (disliked, num_disliked) = curves
    return liked / num_liked, np.where(np.isnan(num_disliked), np.nan, disliked > 0)


def compared(one: np.ndarray, other: np.ndarray) -> str:
    """The difference over users who have both, with its test and its relative interval."""
    has_both = ~np.isnan(one) & ~np.isnan(other)
    one, other = one[has_both], other[has_both]
    test = paired_randomization(one, other, seed=SEED)
    low, high = bootstrap_interval(one - other, seed=SEED)
    base = other.mean()
    return (
        f"{test.difference / base:+.1%} (95 % {low / base:+.1%} to {high / base:+.1%}), "
        f"p = {test.p_value:.4f}"
    )
