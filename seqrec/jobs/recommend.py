"""``seqrec recommend``: the next items for one history, or for every user of a dataset."""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Int

from seqrec.arguments import check_arguments
from seqrec.builders.named_models import NamedModel, open_ranker, open_recommender
from seqrec.config.defaults import RECOMMEND
from seqrec.data.histories import Histories
from seqrec.data.prepared import PreparedData, TargetMode
from seqrec.data.recommendations import TIME_INPUT, build_recommendations_table
from seqrec.data.tables import check_table_file, write_table
from seqrec.errors import SeqRecError
from seqrec.evaluation.conditions import (
    adapt_queries,
    get_time_input,
    has_target_times,
    read_whole_histories,
    with_conditions,
)
from seqrec.evaluation.protocol import build_queries
from seqrec.outputs import new_file, refuse_existing_file
from seqrec.ranking.answer import Rank, answer_history
from seqrec.ranking.ranker import Ranker
from seqrec.ranking.recommender import Recommender
from seqrec.retrieval.exact import TopK
from seqrec.retrieval.index import load_index
from seqrec.tokens.events.requests import Event
from seqrec.tokens.events.times import PAST_TIMES, TARGET_TIME

logger = logging.getLogger(__name__)

WhichHistories = Literal["validation", "test", "all"]


@check_arguments
def recommend(
    model: NamedModel,
    *,
    history: Sequence[Event] | None = None,
    data: str | Path | None = None,
    split: WhichHistories = RECOMMEND.split,
    k: int = RECOMMEND.k,
    exclude_seen: bool = True,
    conditions: Mapping[str, Any] | None = None,
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
        data: prepared folder, to recommend for all of its users instead of for ``history``.
        split: with ``data``: histories before the ``validation`` or ``test`` targets, or ``all``
            interactions of each user.
        k: length of the lists.
        exclude_seen: exclude the items of the history from the lists.
        conditions: values of features that the model reads before an item, such as
            ``{"rating": 5}``, assumed for the recommended items.
        likelihood: a learned feature and its value, such as ``("rating", 5)``; the result has its
            probability for every item of the list of ``history``.
        plan: the model first predicts features of the next item, which become conditions.
        memory_mb: memory for scores, in MiB; None: chosen for the processor.
        index: folder of an exported FAISS index to search by products of vectors; None: exact.
        out: Parquet file for the lists, required with ``data``.
        overwrite: replace ``out``.

    Returns:
        The list of a history; or for ``data`` the path of the file, counts, and the times that
        the model read, which the file also records.

    Raises:
        SeqRecError: a mistake in options, model, history, data or output.
    """
    if (history is None) == (data is None):
        raise SeqRecError("--history, --data: name exactly one of them")
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
        search = _get_search(recommender, k, exclude_seen, index)
        return answer_history(recommender, history, search, conditions or {}, likelihood, plan)
    if likelihood is not None:
        raise SeqRecError("--likelihood goes with --history")
    if out is None:
        raise SeqRecError(
            "--data needs --out FILE.parquet (or .csv, .ndjson) to write the lists to"
        )
    check_table_file(Path(out), "--out")
    refuse_existing_file(Path(out), overwrite)
    prepared = PreparedData.open(data or "")
    histories = prepared.histories()
    ranker = open_ranker(model, prepared, histories, lists_data_items=False)
    for note in ranker.notes:
        logger.warning(note)
    ranker.limit_memory(memory_mb)
    search = _get_search(ranker, k, exclude_seen, index)
    users, conditioned = _select_histories(prepared, histories, split, ranker)
    if conditions:
        conditioned = with_conditions(ranker, conditioned, conditions)
    if plan:
        if not isinstance(ranker, Recommender):
            raise SeqRecError(f"--plan: {ranker.name} has learned no features; name a model")
        conditioned = ranker.add_plans(conditioned)
    time_input = get_time_input(ranker)
    if split == "all" and time_input == TARGET_TIME and not has_target_times(ranker, conditioned):
        time_input = PAST_TIMES  # the time of the next event is neither known nor a condition
    item_ids = prepared.items()["item_id"].to_list()
    if isinstance(ranker, Recommender):
        item_ids = ranker.item_ids
    ranked = search(conditioned)
    return _write_lists(prepared, users, item_ids, ranked, time_input, Path(out), overwrite)


def _get_search(ranker: Ranker, k: int, exclude_seen: bool, index: str | Path | None) -> Rank:
    """Return the search function: exact, or by an index of the model."""
    if index is None:
        return partial(ranker.rank, k=k, exclude_seen=exclude_seen)
    if not isinstance(ranker, Recommender):
        raise SeqRecError(f"--index {index}: {ranker.name} has no vectors to search")
    faiss_index = load_index(
        Path(index),
        catalog_fingerprint=ranker.catalog_fingerprint,
        model_fingerprint=ranker.fingerprint,
    )
    if not ranker.scores_are_products:
        logger.warning("lists of %s through an index exclude its transition prior", ranker.name)
    return partial(ranker.rank_by_index, faiss_index, k=k, exclude_seen=exclude_seen)


def _select_histories(
    prepared: PreparedData, histories: Histories, split: WhichHistories, ranker: Ranker
) -> tuple[Int[np.ndarray, " Q"], Sequence[Int[np.ndarray, " T"]]]:
    """Return the users to recommend for, and their histories in the ranker's form."""
    if split == "all":
        return np.arange(prepared.num_users), read_whole_histories(ranker, prepared)
    queries = build_queries(histories, split, _merge_successive(prepared.targets))
    if not len(queries.users):
        raise SeqRecError(
            f"{prepared.path}: no user has a {split} target under {prepared.split_by}; "
            "use --split all"
        )
    return queries.users, adapt_queries(ranker, queries, prepared).histories


def _write_lists(
    prepared: PreparedData,
    users: Int[np.ndarray, " Q"],
    item_ids: Sequence[str],
    ranked: TopK,
    time_input: str,
    out: Path,
    overwrite: bool,
) -> dict[str, Any]:
    """Write the lists and return the counts and the path."""
    table = build_recommendations_table(
        prepared.users()["user_id"].gather(users).to_list(),
        item_ids,
        ranked.items.numpy(),
        ranked.scores.numpy(),
    )
    with new_file(out, overwrite=overwrite) as file:
        write_table(table, file, check_table_file(out, "--out"), {TIME_INPUT: time_input})
    return {
        "users": len(users),
        "rows": len(table),
        "lists_cut_short": int((ranked.items[:, -1] < 0).sum()),
        "time_input": time_input,
        "out": str(out),
    }


def _merge_successive(targets: TargetMode) -> TargetMode:
    """Return the target mode with one list per user, before the first of successive targets."""
    return "together" if targets == "successive" else targets
