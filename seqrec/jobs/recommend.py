"""``seqrec recommend``: the next titles for one history, or for every user of a dataset."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from seqrec.data.prepared import PreparedData, TargetMode
from seqrec.data.recommendations import recommendations_table
from seqrec.errors import SeqRecError
from seqrec.evaluation.protocol import queries_of
from seqrec.jobs.folders import new_file
from seqrec.jobs.models import open_recommender
from seqrec.recommender import Recommender
from seqrec.retrieval.exact import TopK
from seqrec.retrieval.index import ItemIndex, load_index

WhichHistories = Literal["validation", "test", "all"]


def recommend(
    model: str | Path,
    *,
    history: Sequence[str] | None = None,
    data: str | Path | None = None,
    split: WhichHistories = "test",
    k: int = 10,
    exclude_seen: bool = True,
    index: str | Path | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Recommend for one unseen history, or for all users of a prepared folder.

    Args:
        model: run or model folder.
        history: item ids, oldest first; new users need no retraining.
        data: prepared folder whose users are asked for, instead of ``history``.
        split: which histories of ``data``: what stands before the validation or test targets,
            or ``all`` of each user's interactions.
        k: length of the lists.
        exclude_seen: leave out what stands in the history.
        index: folder of an exported FAISS index to search; exact if not given.
        out: Parquet file for the lists, needed with ``data``.
        overwrite: replace ``out``.

    Returns:
        For a history its list; for a dataset the file and counts.
    """
    if (history is None) == (data is None):
        raise SeqRecError("name either --history or --data, one of the two")
    if k < 1:
        raise SeqRecError(f"--k {k}: at least 1")
    if split not in get_args(WhichHistories):
        raise SeqRecError(f"--split {split}: choose from {', '.join(get_args(WhichHistories))}")
    prepared = PreparedData.open(data) if data is not None else None
    recommender = open_recommender(model, prepared)
    found_by = None
    if index is not None:
        found_by = load_index(
            Path(index),
            catalog_fingerprint=recommender.catalog_fingerprint,
            model_fingerprint=recommender.fingerprint,
        )
    if prepared is None:
        assert history is not None
        return _for_history(recommender, history, k, exclude_seen, found_by)
    if out is None:
        raise SeqRecError("--data needs --out FILE.parquet to write the lists to")
    return _for_users(recommender, prepared, split, k, exclude_seen, found_by, Path(out), overwrite)


def _rank(
    recommender: Recommender,
    histories: Sequence[np.ndarray],
    k: int,
    exclude_seen: bool,
    index: ItemIndex | None,
) -> TopK:
    if index is None:
        return recommender.rank(histories, k, exclude_seen=exclude_seen)
    return recommender.rank_by_index(index, histories, k, exclude_seen=exclude_seen)


def _for_history(
    recommender: Recommender,
    history: Sequence[str],
    k: int,
    exclude_seen: bool,
    index: ItemIndex | None,
) -> dict[str, Any]:
    known, unknown = recommender.known_items([history])
    ranked = _rank(recommender, known, k, exclude_seen, index)
    titles = recommender.titles
    rows = [
        {
            "rank": rank,
            "item_id": recommender.item_ids[item],
            "score": score,
            "title": titles[item],
        }
        for rank, (item, score) in enumerate(
            zip(ranked.items[0].tolist(), ranked.scores[0].tolist(), strict=True), 1
        )
        if item >= 0
    ]
    return {
        "history": [
            {"item_id": recommender.item_ids[item], "title": titles[item]} for item in known[0]
        ],
        "unknown_items": unknown,
        "fallback": None if len(known[0]) else "most watched in training",
        "unseen_exhausted": len(rows) < k,
        "recommendations": rows,
    }


def _for_users(
    recommender: Recommender,
    prepared: PreparedData,
    split: WhichHistories,
    k: int,
    exclude_seen: bool,
    index: ItemIndex | None,
    out: Path,
    overwrite: bool,
) -> dict[str, Any]:
    histories = prepared.histories()
    if split == "all":
        users = np.arange(prepared.num_users)
        asked = np.split(histories.items, histories.offsets[1:-1])
    else:
        queries = queries_of(histories, split, _once(prepared.targets))
        users, asked = queries.users, queries.histories
    ranked = _rank(recommender, asked, k, exclude_seen, index)
    user_ids = prepared.users()["user_id"].gather(users).to_list()
    table = recommendations_table(
        user_ids, recommender.item_ids, ranked.items.numpy(), ranked.scores.numpy()
    )
    with new_file(out, overwrite=overwrite) as file:
        table.write_parquet(file)
    short = int((ranked.items[:, -1] < 0).sum())
    return {"out": str(out), "users": len(users), "rows": len(table), "lists_under_k": short}


def _once(targets: TargetMode) -> TargetMode:
    """One list a user: under successive targets, before the first of them."""
    return "together" if targets == "successive" else targets
