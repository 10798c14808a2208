"""``seqrec recommend``: the next titles for one history, or for every user of a dataset."""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Int

from seqrec.builders.named_models import open_ranker, open_recommender
from seqrec.config.defaults import RECOMMEND
from seqrec.data.catalog import write_parquet
from seqrec.data.histories import Histories
from seqrec.data.prepared import PreparedData, TargetMode
from seqrec.data.recommendations import TIME_INPUT, recommendations_table
from seqrec.errors import SeqRecError
from seqrec.evaluation.conditions import (
    asked_with,
    is_told_when,
    queries_for,
    time_input_of,
    whole_histories,
)
from seqrec.evaluation.protocol import queries_of
from seqrec.outputs import new_file, refuse_existing_file
from seqrec.ranking.answer import Rank, _for_history
from seqrec.ranking.ranker import Ranker
from seqrec.ranking.recommender import Recommender
from seqrec.retrieval.exact import TopK
from seqrec.retrieval.index import load_index
from seqrec.tokens.events.grammar import PAST_TIMES, TARGET_TIME
from seqrec.tokens.events.requests import Event

logger = logging.getLogger(__name__)

WhichHistories = Literal["validation", "test", "all"]


def recommend(
    model: str | Path,
    *,
    history: Sequence[Event] | None = None,
    data: str | Path | None = None,
    split: WhichHistories = RECOMMEND.split,
    k: int = RECOMMEND.k,
    exclude_seen: bool = True,
    given: Mapping[str, Any] | None = None,
    likelihood: tuple[str, Any] | None = None,
    plan: bool = False,
    memory_mb: float | None = None,
    index: str | Path | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Recommend for one unseen history, or for all users of a prepared folder.

    Args:
        model: run or model folder; with ``data`` also a baseline's name.
        history: item ids, or events such as ``{"item_id": "318", "rating": 5}``, oldest first;
            new users need no retraining.
        data: prepared folder whose users are asked for, instead of ``history``.
        split: which histories of ``data``: what stands before the validation or test targets,
            or ``all`` of each user's interactions.
        k: length of the lists.
        exclude_seen: leave out what stands in the history.
        given: what is to be true of the titles, such as ``{"rating": 5}``: features that the
            model's grammar places before their title.
        likelihood: a learned feature and its value, such as ``("rating", 5)``, whose likelihood
            is told of every title, with ``history``.
        plan: let the model say first what kind of title comes next, and recommend given that.
        memory_mb: how much memory scores may take; a good amount for the processor if absent.
        index: folder of an exported FAISS index to search, by products of vectors alone; exact
            if not given.
        out: Parquet file for the lists, needed with ``data``.
        overwrite: replace ``out``.

    Returns:
        For a history its list; for a dataset the file, which says so too, counts, and what the
        model was told of times.
    """
    if (history is None) == (data is None):
        raise SeqRecError("name either --history or --data, one of the two")
    if k < 1:
        raise SeqRecError(f"--k {k}: at least 1")
    if split not in get_args(WhichHistories):
        raise SeqRecError(f"--split {split}: choose from {', '.join(get_args(WhichHistories))}")
    if index is not None and memory_mb is not None:
        raise SeqRecError("--memory-mb is for exact lists; leave it out with --index")
    if history is not None:
        if out is not None:
            raise SeqRecError("--out goes with --data; the list of one --history is printed")
        recommender = open_recommender(model)
        recommender.limit_memory(memory_mb)
        how = _how(recommender, k, exclude_seen, index)
        return _for_history(recommender, history, how, given or {}, likelihood, plan)
    if likelihood is not None:
        raise SeqRecError("--likelihood goes with --history")
    if out is None:
        raise SeqRecError("--data needs --out FILE.parquet to write the lists to")
    refuse_existing_file(Path(out), overwrite)
    prepared = PreparedData.open(data or "")
    histories = prepared.histories()
    ranker = open_ranker(model, prepared, histories)
    ranker.limit_memory(memory_mb)
    how = _how(ranker, k, exclude_seen, index)
    users, asked = _users(prepared, histories, split, ranker)
    if given:
        asked = asked_with(ranker, asked, given)
    if plan:
        if not isinstance(ranker, Recommender):
            raise SeqRecError(f"plan: {ranker.name} has learned no features; name a model")
        asked = ranker.planned(asked)
    time_input = time_input_of(ranker)
    if split == "all" and time_input == TARGET_TIME and not is_told_when(ranker, asked):
        time_input = PAST_TIMES  # nobody knows, or says, when the next title will be watched
    return _write_lists(prepared, users, how(asked), time_input, Path(out), overwrite)


def _how(ranker: Ranker, k: int, exclude_seen: bool, index: str | Path | None) -> Rank:
    """How lists are made: exactly, or through an index that belongs to the model."""
    if index is None:
        return partial(ranker.rank, k=k, exclude_seen=exclude_seen)
    if not isinstance(ranker, Recommender):
        raise SeqRecError(f"--index {index}: {ranker.name} has no vectors to search")
    found = load_index(
        Path(index),
        catalog_fingerprint=ranker.catalog_fingerprint,
        model_fingerprint=ranker.fingerprint,
    )
    if not ranker.scores_are_products:
        logger.warning("lists of %s through an index leave out what its memory adds", ranker.name)
    return partial(ranker.rank_by_index, found, k=k, exclude_seen=exclude_seen)


def _users(
    prepared: PreparedData, histories: Histories, split: WhichHistories, ranker: Ranker
) -> tuple[Int[np.ndarray, " Q"], Sequence[Int[np.ndarray, " T"]]]:
    """Who is asked for, and what the ranker reads of each."""
    if split == "all":
        return np.arange(prepared.num_users), whole_histories(ranker, prepared)
    queries = queries_of(histories, split, _once(prepared.targets))
    if not len(queries.users):
        raise SeqRecError(
            f"{prepared.path}: nobody has a {split} target under {prepared.split_by}; "
            "ask for --split all"
        )
    return queries.users, queries_for(ranker, queries, prepared).histories


def _write_lists(
    prepared: PreparedData,
    users: Int[np.ndarray, " Q"],
    ranked: TopK,
    time_input: str,
    out: Path,
    overwrite: bool,
) -> dict[str, Any]:
    table = recommendations_table(
        prepared.users()["user_id"].gather(users).to_list(),
        prepared.items()["item_id"].to_list(),
        ranked.items.numpy(),
        ranked.scores.numpy(),
    )
    with new_file(out, overwrite=overwrite) as file:
        write_parquet(table, file, {TIME_INPUT: time_input})
    return {
        "users": len(users),
        "rows": len(table),
        "lists_cut_short": int((ranked.items[:, -1] < 0).sum()),
        "time_input": time_input,
        "out": str(out),
    }


def _once(targets: TargetMode) -> TargetMode:
    """One list a user: under successive targets, before the first of them."""
    return "together" if targets == "successive" else targets
