"""``seqrec evaluate``: models and baselines side by side, over the full catalog."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from jaxtyping import Int
from torch import Tensor

from seqrec.data.prepared import PreparedData
from seqrec.data.recommendations import read_recommendations
from seqrec.errors import SeqRecError
from seqrec.evaluation.protocol import Judgement, Queries, Split, judge, protocol_line, queries_of
from seqrec.jobs.floors import floors_line, settle_baselines
from seqrec.jobs.folders import new_folder, refuse_existing
from seqrec.jobs.models import open_ranker
from seqrec.recommender import Ranker, Recommender
from seqrec.retrieval.index import KINDS, build_index, recall_against_exact

RETRIEVALS = ("exact", *(f"faiss-{kind}" for kind in KINDS))
PER_USER_FILE = "per_user.parquet"


class Answers(NamedTuple):
    """A system's lists for all queries."""

    system: str
    retrieval: str
    items: Int[Tensor, "Q K"]
    facts: Mapping[str, float]
    """What was measured on the way, such as ``users_per_second``."""


def evaluate(
    models: str | Path | Sequence[str | Path] = (),
    *,
    data: str | Path,
    split: Split = "test",
    k: int | Sequence[int] = (10, 50),
    retrieval: Sequence[str] = ("exact",),
    recommendations: Sequence[str | Path] = (),
    tune_baselines: int = 0,
    exclude_seen: bool = True,
    memory_mb: float | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Judge models, baselines and anybody's recommendations on the same queries.

    Args:
        models: run folders, model folders, baselines as ``NAME`` or ``NAME:setting=value,...``.
        data: prepared folder.
        split: whose interactions are the targets.
        k: cut-offs.
        retrieval: how a model's lists are found; exact is always shown beside.
        recommendations: recommendations files, of whatever system.
        tune_baselines: settings of each baseline to try on validation; 0: as they are named.
        exclude_seen: leave out what stands in the history.
        memory_mb: how much memory scores may take; a good amount for the processor if absent.
        out: folder for ``metrics.json`` and ``per_user.parquet``.
        overwrite: replace ``out``.

    Returns:
        The protocol, counts, a row a system: its name, retrieval, metrics, users/s; and the
        baselines' settings.
    """
    models = [models] if isinstance(models, str | Path) else models
    ks = sorted({k} if isinstance(k, int) else set(k))
    _check(models, recommendations, split, ks, retrieval)
    if out is not None:
        refuse_existing(Path(out), overwrite)
    prepared = PreparedData.open(data)
    histories = prepared.histories()
    queries = queries_of(histories, split, prepared.targets)
    if not len(queries.users):
        raise SeqRecError(
            f"{data}: nobody has a {split} target under {prepared.split_by}; "
            "prepare with another --split-by"
        )
    models, floors = settle_baselines(
        models, prepared, histories, tune_baselines, exclude_seen=exclude_seen
    )
    answers: list[Answers] = []
    for model in models:
        ranker = open_ranker(model, prepared, histories)
        ranker.limit_memory(memory_mb)
        if ranker.name in [answer.system for answer in answers]:
            ranker.name = str(model)
        answers += _ranked(ranker, queries, ks[-1], retrieval, exclude_seen)
    for file in map(Path, recommendations):
        answer = _from_file(file, prepared, queries, ks[-1], exclude_seen)
        is_taken = answer.system in [answer.system for answer in answers]
        answers.append(answer._replace(system=str(file)) if is_taken else answer)
    judgements = [judge(answer.items, queries, ks, prepared.num_items) for answer in answers]
    result: dict[str, Any] = {
        "protocol": protocol_line(prepared, split, len(queries.users), exclude_seen)
        + floors_line(floors),
        "counts": {
            "queries": len(queries.users),
            "targets_without_history": queries.num_without_history,
            "targets_seen_before": queries.num_seen_targets,
        },
        "rows": [
            {"system": a.system, "retrieval": a.retrieval, **j.metrics, **a.facts}
            for a, j in zip(answers, judgements, strict=True)
        ],
        "baselines": floors,
    }
    if out is not None:
        with new_folder(Path(out), overwrite=overwrite) as folder:
            (folder / "metrics.json").write_text(json.dumps(result, indent=2) + "\n")
            table = per_user_table(answers, judgements, queries, prepared)
            pq.write_table(table, folder / PER_USER_FILE)
        result["out"] = str(out)
    return result


def _ranked(
    ranker: Ranker, queries: Queries, k: int, retrieval: Sequence[str], exclude_seen: bool
) -> Iterator[Answers]:
    """A ranker's lists: exact, then through each index that was asked for."""
    started = time.perf_counter()
    exact = ranker.rank(queries.histories, k, exclude_seen=exclude_seen).items
    yield Answers(ranker.name, "exact", exact, _speed(queries, started))
    if not isinstance(ranker, Recommender):
        return
    for name in retrieval:
        if name == "exact":
            continue
        kind = next(kind for kind in KINDS if name == f"faiss-{kind}")
        index = build_index(ranker.item_embeddings(), kind)
        started = time.perf_counter()
        found = ranker.rank_by_index(index, queries.histories, k, exclude_seen=exclude_seen).items
        facts = _speed(queries, started)
        facts["recall_against_exact"] = recall_against_exact(found, exact)
        yield Answers(ranker.name, name, found, facts)


def _speed(queries: Queries, started: float) -> dict[str, float]:
    return {"users_per_second": round(len(queries.users) / (time.perf_counter() - started))}


def _from_file(
    file: Path, prepared: PreparedData, queries: Queries, k: int, exclude_seen: bool
) -> Answers:
    """The lists of a recommendations file; a user whom it does not name has an empty one.

    What a user has seen is no hit in them, as it is left out of other systems' lists.
    """
    if len(np.unique(queries.users)) < len(queries.users):
        raise SeqRecError(
            f"--recommendations {file}: has one list a user, but successive targets ask several "
            "times; prepare with --targets last"
        )
    lists = read_recommendations(file, prepared, k)
    items = lists.items[queries.users]
    rows = zip(items, queries.histories, strict=True)
    is_seen = np.array([np.isin(row, history) for row, history in rows])
    facts = {
        "users_without_list": int((items < 0).all(axis=1).sum()),
        "seen_items_in_lists": int(is_seen.sum()),
        "unknown_users": lists.num_unknown_users,
        "unknown_items": lists.num_unknown_items,
    }
    if exclude_seen:
        items = np.where(is_seen, -1, items)
    return Answers(file.stem, "file", torch.from_numpy(items), facts)


def per_user_table(
    answers: Sequence[Answers],
    judgements: Sequence[Judgement],
    queries: Queries,
    prepared: PreparedData,
) -> pa.Table:
    """A row a system and query: user, length of history, number of targets, metrics."""
    user_ids = prepared.users()["user_id"].to_arrow().take(pa.array(queries.users))
    tables = []
    for answer, judgement in zip(answers, judgements, strict=True):
        columns = {
            "system": pa.array([answer.system] * len(queries.users)),
            "retrieval": pa.array([answer.retrieval] * len(queries.users)),
            "user_id": user_ids,
            "history_length": pa.array([len(history) for history in queries.histories]),
            "num_targets": pa.array([len(targets) for targets in queries.targets]),
        }
        columns |= {key: pa.array(value) for key, value in judgement.per_query.items()}
        tables.append(pa.table(columns))
    return pa.concat_tables(tables)


def _check(
    models: Sequence[str | Path],
    recommendations: Sequence[str | Path],
    split: str,
    ks: Sequence[int],
    retrieval: Sequence[str],
) -> None:
    if not models and not recommendations:
        raise SeqRecError("nothing to evaluate: name a model, a baseline or --recommendations")
    if split not in get_args(Split):
        raise SeqRecError(f"--split {split}: choose from {', '.join(get_args(Split))}")
    if not ks or ks[0] < 1:
        raise SeqRecError(f"--k {ks[0] if ks else ''}: cut-offs are 1 or more")
    for name in retrieval:
        if name not in RETRIEVALS:
            raise SeqRecError(f"--retrieval {name}: choose from {', '.join(RETRIEVALS)}")
