"""Ranked lists of every system for the queries, a set per seed."""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from seqrec.data.prepared import PreparedData
from seqrec.data.recommendations import describe_source, read_recommendations
from seqrec.data.tables import is_frame
from seqrec.errors import SeqRecError
from seqrec.evaluation.conditions import get_time_input
from seqrec.evaluation.protocol import Queries
from seqrec.ranking.item_stores import open_item_store
from seqrec.ranking.ranker import Ranker
from seqrec.ranking.recommender import Recommender
from seqrec.retrieval.index import KINDS, VectorIndex, build_index, recall_against_exact
from seqrec.retrieval.stores.urls import is_store, mask_url

EXACT = "exact"
RETRIEVALS = (EXACT, *(f"faiss-{kind}" for kind in KINDS))
FRAME = "recommendations"
"""The name of a system whose lists are a frame."""
UNSTATED_TIME_INPUT = "time input not stated"
"""The time input of recommendations files that do not state theirs."""


class SystemLists(NamedTuple):
    """One seed's lists for all queries."""

    system: str
    retrieval: str
    seed: int
    items: Int[Tensor, "Q K"]
    facts: Mapping[str, float]
    """Other measurements, such as ``users_per_second``."""
    time_input: str
    """The times that the system reads."""
    notes: Sequence[str] = ()
    """Remarks on the lists, for the report."""


def rank_lists(
    ranker: Ranker,
    seed: int,
    queries: Queries,
    k: int,
    retrieval: Sequence[str],
    exclude_seen: bool,
) -> Iterator[SystemLists]:
    """Yield a ranker's lists: exact, then through each requested index."""
    started = time.perf_counter()
    exact = ranker.rank(queries.histories, k, exclude_seen=exclude_seen).items
    time_input, facts = get_time_input(ranker), _measure_speed(queries, started)
    indexes = [name for name in retrieval if name != EXACT]
    if not isinstance(ranker, Recommender):
        without = [
            f"{ranker.name}: has no vectors for {', '.join(map(mask_url, indexes))} to index"
        ]
        notes = [*ranker.notes, *(without if indexes else [])]
        yield SystemLists(ranker.name, EXACT, seed, exact, facts, time_input, notes)
        return
    yield SystemLists(ranker.name, EXACT, seed, exact, facts, time_input, ranker.notes)
    for name in indexes:
        index, label = _open_index(ranker, name)
        started = time.perf_counter()
        items = ranker.rank_by_index(
            index, queries.histories, k, exclude_seen=exclude_seen, is_rescored=is_store(name)
        ).items
        facts = _measure_speed(queries, started)
        facts["recall_against_exact"] = recall_against_exact(items, exact)
        yield SystemLists(ranker.name, label, seed, items, facts, time_input)


def _open_index(ranker: Recommender, name: str) -> tuple[VectorIndex, str]:
    """Return the index of a search method, and its name in tables."""
    if is_store(name):
        store = open_item_store(ranker, name, "--retrieval")
        return store, store.live.label
    kind = next(kind for kind in KINDS if name == f"faiss-{kind}")
    return build_index(ranker.item_embeddings(), kind), name


def _measure_speed(queries: Queries, started: float) -> dict[str, float]:
    return {"users_per_second": round(len(queries.users) / (time.perf_counter() - started))}


def read_lists(
    source: Any, prepared: PreparedData, queries: Queries, k: int, exclude_seen: bool
) -> SystemLists:
    """Return the lists of a recommendations file or frame; users without a list have an empty one.

    Seen items are removed, as they are excluded from the lists of other systems. Notes name the
    first user without a list, and the first id that the data do not have.
    """
    file = describe_source(source)
    if len(np.unique(queries.users)) < len(queries.users):
        raise SeqRecError(
            f"--recommendations {file}: has one list per user, but successive targets give a "
            "user several queries; prepare with --targets last"
        )
    lists = read_recommendations(source, prepared, k)
    items = lists.items[queries.users]
    rows = zip(items, queries.histories, strict=True)
    is_seen = np.array([np.isin(row, history) for row, history in rows])
    user_ids = prepared.users()["user_id"]
    without = user_ids.gather(queries.users[(items < 0).all(axis=1)]).to_list()
    num_left = [prepared.num_items - len(np.unique(history)) for history in queries.histories]
    lengths = lists.lengths[queries.users]
    is_short = (lengths > 0) & (lengths < np.minimum(k, num_left))
    short = user_ids.gather(queries.users[is_short]).to_list()
    facts = {
        "users_without_list": len(without),
        "users_with_short_list": len(short),
        "seen_items_in_lists": int(is_seen.sum()),
        "unknown_users": len(lists.unknown_users),
        "unknown_items": len(lists.unknown_items),
    }
    missing = {
        "users are recommended no known item": without,
        f"users are recommended fewer than {k} items (missing ones are misses)": short,
        "users are not in the data": lists.unknown_users,
        "items are not in the catalog": lists.unknown_items,
        "users' lists have equal scores, taken in the file's order": lists.tied_users,
    }
    notes = [
        f"{file}: {len(ids):,} {what}, {ids[0]!r} first" for what, ids in missing.items() if ids
    ]
    if exclude_seen:
        items = np.where(is_seen, -1, items)
    time_input = lists.time_input or UNSTATED_TIME_INPUT
    name = FRAME if is_frame(source) else Path(source).stem
    return SystemLists(name, "file", 0, torch.from_numpy(items), facts, time_input, notes)
