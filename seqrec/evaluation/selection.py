"""The queries that every system under test answers: a whole split, a sample, or cold targets."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from seqrec.data.histories import Histories
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.evaluation.comparison import SEED
from seqrec.evaluation.protocol import Queries, Split, build_queries

ONLY = {"cold": "targets that training never met", "warm": "targets that training met"}


class EvaluationQueries(NamedTuple):
    """The queries for all systems."""

    queries: Queries
    limits: list[str]
    """The protocol's statements on excluded queries."""


def select_queries(
    prepared: PreparedData,
    histories: Histories,
    item_counts: Int[np.ndarray, " I"],
    split: Split,
    only: str | None,
    users_sample: int | None,
) -> EvaluationQueries:
    """Select the queries of a split.

    Args:
        prepared: data whose split is evaluated.
        histories: histories of ``prepared``.
        item_counts: training interactions of every item.
        split: the part whose interactions are the targets.
        only: ``cold`` or ``warm`` targets; None: all.
        users_sample: number of users, drawn at random; None: all.

    Raises:
        SeqRecError: an invalid option, or no remaining query.
    """
    queries, limits = build_queries(histories, split, prepared.targets), []
    if not len(queries.users):
        raise SeqRecError(
            f"{prepared.path}: no user has a {split} target under {prepared.split_by}; "
            "prepare with another --split-by"
        )
    if only is not None:
        queries = _only(queries, item_counts, only)
        limits.append(f"{ONLY[only]} alone")
    num_users = len(np.unique(queries.users))
    if users_sample is not None:
        queries = _sample(queries, users_sample)
        if users_sample < num_users:
            drawn = f"{users_sample:,} users drawn at random of {num_users:,}, all candidates"
            limits.append(drawn)
    return EvaluationQueries(queries, limits)


def _sample(queries: Queries, num_users: int) -> Queries:
    """Return the queries of some users; every query still ranks the whole catalog."""
    if num_users < 1:
        raise SeqRecError(f"--users-sample {num_users}: at least 1")
    users = np.unique(queries.users)
    if num_users >= len(users):
        return queries
    return queries.for_users(np.random.default_rng(SEED).choice(users, num_users, replace=False))


def _only(queries: Queries, item_counts: Int[np.ndarray, " I"], which: str) -> Queries:
    """Return the queries with targets of one kind, without their other targets."""
    if which not in ONLY:
        raise SeqRecError(f"--only {which}: choose from {', '.join(ONLY)}")
    kept = [targets[(item_counts[targets] > 0) == (which == "warm")] for targets in queries.targets]
    indices = np.flatnonzero([len(targets) for targets in kept])
    if not len(indices):
        raise SeqRecError(f"--only {which}: no query has {ONLY[which]}")
    return replace(queries.at(indices), targets=[kept[index] for index in indices])
