"""``seqrec evaluate``: models and baselines side by side, over the full catalog."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Bool, Float

from seqrec.data.prepared import PreparedData
from seqrec.data.splits import TRAIN
from seqrec.errors import SeqRecError
from seqrec.evaluation.comparison import SEED, compare
from seqrec.evaluation.protocol import (
    Judgement,
    Queries,
    Split,
    evaluation_notes,
    judge,
    protocol_line,
    queries_of,
)
from seqrec.evaluation.significance import bootstrap_intervals
from seqrec.jobs.answers import EXACT, RETRIEVALS, Answers, from_file, ranked
from seqrec.jobs.floors import floors_line, settle_baselines
from seqrec.jobs.folders import new_folder, refuse_existing
from seqrec.jobs.models import open_rankers, selection_of
from seqrec.jobs.report import REPORT_FILE, environment, trained_models
from seqrec.reports.evaluation import evaluation_page

PER_USER_FILE = "per_user.parquet"
ONLY = {"cold": "targets that training never met", "warm": "targets that training met"}
COMPARED = (EXACT, "file")
"""Retrievals whose lists are a system's own, not an index's."""


def evaluate(
    models: str | Path | Sequence[str | Path] = (),
    *,
    data: str | Path,
    split: Split = "test",
    k: int | Sequence[int] = (10, 50),
    metric: str | None = None,
    against: str | None = None,
    retrieval: Sequence[str] = (EXACT,),
    recommendations: Sequence[str | Path] = (),
    tune_baselines: int = 0,
    only: Literal["cold", "warm"] | None = None,
    users_sample: int | None = None,
    exclude_seen: bool = True,
    memory_mb: float | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Judge models, baselines and anybody's recommendations on the same queries.

    Args:
        models: run folders, also those of several seeds, model folders, baselines as ``NAME`` or
            ``NAME:setting=value,...``.
        data: prepared folder.
        split: whose interactions are the targets.
        k: cut-offs.
        metric: by which systems are compared; NDCG at the smallest cut-off if absent.
        against: the system that is compared with each other one; the first if absent.
        retrieval: how a model's lists are found; exact is always shown beside.
        recommendations: recommendations files, of whatever system.
        tune_baselines: settings of each baseline to try on validation; 0: as they are named.
        only: ask for targets that training never met, or for those that it met; all if absent.
        users_sample: how many users are asked, drawn at random, for a quick look; all if absent.
        exclude_seen: leave out what stands in the history.
        memory_mb: how much memory scores may take; a good amount for the processor if absent.
        out: folder for ``metrics.json``, ``per_user.parquet`` and ``report.html``.
        overwrite: replace ``out``.

    Returns:
        The protocol, notes, counts; what each system was named by; a row a system with the means
        over its seeds, their standard deviations and 95 % intervals; comparisons; the baselines'
        settings.
    """
    models = [models] if isinstance(models, str | Path) else models
    ks = sorted({k} if isinstance(k, int) else set(k))
    _check(models, recommendations, split, ks, retrieval)
    metric = metric or f"ndcg@{ks[0]}"
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
    in_training = histories.split == TRAIN
    is_known = np.bincount(histories.items[in_training], minlength=prepared.num_items) > 0
    if only is not None:
        queries = _only(queries, is_known, only)
    num_users = len(np.unique(queries.users))
    if users_sample is not None:
        queries = _sample(queries, users_sample)
    models, floors = settle_baselines(
        models, prepared, histories, tune_baselines, exclude_seen=exclude_seen
    )
    answers: list[Answers] = []
    systems: dict[str, str] = {}
    for model in models:
        taken = {answer.system for answer in answers}
        for seed, ranker in open_rankers(model, prepared, histories):
            ranker.limit_memory(memory_mb)
            if ranker.name in taken:
                ranker.name = str(model)
            systems[ranker.name] = str(model)
            answers += ranked(ranker, seed, queries, ks[-1], retrieval, exclude_seen)
    for file in map(Path, recommendations):
        answer = from_file(file, prepared, queries, ks[-1], exclude_seen)
        is_taken = answer.system in [answer.system for answer in answers]
        answers.append(answer._replace(system=str(file)) if is_taken else answer)
    judgements = [judge(answer.items, queries, ks, prepared.num_items) for answer in answers]
    if metric not in judgements[0].per_query:
        choices = ", ".join(judgements[0].per_query)
        raise SeqRecError(f"--metric {metric}: choose from {choices}")
    protocol = protocol_line(prepared, split, len(queries.users), exclude_seen)
    if only is not None:
        protocol += f"; {ONLY[only]} alone"
    if users_sample is not None:
        protocol += f"; {users_sample:,} users drawn at random of {num_users:,}, all candidates"
    result: dict[str, Any] = {
        "protocol": "; ".join([protocol + floors_line(floors), *selection_of(models)]),
        "notes": evaluation_notes(prepared),
        "catalog": prepared.num_items,
        "counts": {
            "queries": len(queries.users),
            "targets_without_history": queries.num_without_history,
            "targets_seen_before": queries.num_seen_targets,
            "targets_never_trained_on": int((~is_known[np.concatenate(queries.targets)]).sum()),
        },
        "models": systems,
        "metric": metric,
        "rows": table_rows(answers, judgements, queries),
        "comparisons": _comparisons(answers, judgements, queries, metric, against),
        "baselines": floors,
    }
    if out is not None:
        with new_folder(Path(out), overwrite=overwrite) as folder:
            (folder / "metrics.json").write_text(json.dumps(result, indent=2) + "\n")
            table = per_user_table(answers, judgements, queries, prepared)
            pq.write_table(table, folder / PER_USER_FILE)
            title = f"seqrec evaluation: {Path(prepared.manifest['source']).name}"
            page = evaluation_page(title, result, trained_models(systems), environment())
            (folder / REPORT_FILE).write_text(page, encoding="utf-8")
        result["out"] = str(out)
    return result


def _sample(queries: Queries, num_users: int) -> Queries:
    """The queries of some users; every query still has the whole catalog to choose from."""
    if num_users < 1:
        raise SeqRecError(f"--users-sample {num_users}: at least 1")
    users = np.unique(queries.users)
    if num_users >= len(users):
        return queries
    return queries.of_users(np.random.default_rng(SEED).choice(users, num_users, replace=False))


def _only(queries: Queries, is_known: Bool[np.ndarray, " I"], which: str) -> Queries:
    """The queries all of whose targets training met, or none."""
    if which not in ONLY:
        raise SeqRecError(f"--only {which}: choose from {', '.join(ONLY)}")
    is_kept = [(is_known[targets] == (which == "warm")).all() for targets in queries.targets]
    if not any(is_kept):
        raise SeqRecError(f"--only {which}: no query has {ONLY[which]} alone")
    return queries.at(np.flatnonzero(is_kept))


def by_system(answers: Sequence[Answers]) -> dict[tuple[str, str], list[int]]:
    """The places of every system's seeds, by system and retrieval."""
    places: dict[tuple[str, str], list[int]] = {}
    for place, answer in enumerate(answers):
        places.setdefault((answer.system, answer.retrieval), []).append(place)
    return places


def table_rows(
    answers: Sequence[Answers], judgements: Sequence[Judgement], queries: Queries
) -> list[dict[str, Any]]:
    """A row a system and retrieval: means and ``sd`` over seeds, ``intervals`` over users."""
    rows = []
    for (system, retrieval), places in by_system(answers).items():
        metrics = [judgements[place].metrics for place in places]
        facts = [answers[place].facts for place in places]
        per_query = [judgements[place].per_query for place in places]
        row: dict[str, Any] = {"system": system, "retrieval": retrieval, "seeds": len(places)}
        for found in (metrics, facts):
            row |= {key: _mean([one[key] for one in found]) for key in found[0]}
        if len(places) > 1:
            row["sd"] = {
                key: float(np.std([one[key] for one in metrics], ddof=1)) for key in metrics[0]
            }
        means = [np.mean([one[key] for one in per_query], axis=0) for key in per_query[0]]
        intervals = bootstrap_intervals(np.column_stack(means), users=queries.users, seed=SEED)
        row["intervals"] = dict(zip(per_query[0], intervals, strict=True))
        rows.append(row)
    return rows


def _mean(values: Sequence[float]) -> float:
    """Of one value, itself: counts stay counts."""
    return values[0] if len(values) == 1 else float(np.mean(values))


def _comparisons(
    answers: Sequence[Answers],
    judgements: Sequence[Judgement],
    queries: Queries,
    metric: str,
    against: str | None,
) -> list[dict[str, Any]]:
    scores: dict[str, Float[np.ndarray, "seeds Q"]] = {
        system: np.stack([judgements[place].per_query[metric] for place in places])
        for (system, retrieval), places in by_system(answers).items()
        if retrieval in COMPARED
    }
    found = compare(scores, queries.users, metric=metric, against=against)
    return [{**comparison.as_row(), "sentence": comparison.sentence()} for comparison in found]


def per_user_table(
    answers: Sequence[Answers],
    judgements: Sequence[Judgement],
    queries: Queries,
    prepared: PreparedData,
) -> pa.Table:
    """A row a system, seed and query: user, length of history, number of targets, metrics."""
    user_ids = prepared.users()["user_id"].to_arrow().take(pa.array(queries.users))
    tables = []
    for answer, judgement in zip(answers, judgements, strict=True):
        columns = {
            "system": pa.array([answer.system] * len(queries.users)),
            "retrieval": pa.array([answer.retrieval] * len(queries.users)),
            "seed": pa.array([answer.seed] * len(queries.users)),
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
