"""Tables of results: means, deviations, intervals, comparisons, strata, and effect of order."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Int

from seqrec.data.prepared import PreparedData
from seqrec.evaluation.beyond_accuracy import describe_lists
from seqrec.evaluation.comparison import SEED, compare
from seqrec.evaluation.protocol import ListMetrics, Queries, evaluate_lists
from seqrec.evaluation.significance import bootstrap_intervals
from seqrec.evaluation.strata import stratify_by_length, stratify_by_popularity
from seqrec.evaluation.systems import EXACT, SystemLists

COMPARED = (EXACT, "file")
"""Retrievals whose lists come from the system, not from an index."""


def evaluate_system(
    answer: SystemLists,
    queries: Queries,
    ks: Sequence[int],
    item_counts: Int[np.ndarray, " I"],
    genres: Bool[np.ndarray, "I C"] | None,
) -> ListMetrics:
    """Return the metrics of a system's lists, accuracy and beyond; NaN where undefined."""
    accuracy = evaluate_lists(answer.items, queries, ks, len(item_counts))
    beyond = describe_lists(answer.items.numpy(), queries.histories, ks, item_counts, genres)
    known = {key: values[~np.isnan(values)] for key, values in beyond.items()}
    means = {key: float(values.mean()) if len(values) else np.nan for key, values in known.items()}
    return ListMetrics({**accuracy.metrics, **means}, {**accuracy.per_query, **beyond})


def group_by_system(answers: Sequence[SystemLists]) -> dict[tuple[str, str], list[int]]:
    """Return the indices of every system's seeds, by system and retrieval."""
    indices: dict[tuple[str, str], list[int]] = {}
    for index, answer in enumerate(answers):
        indices.setdefault((answer.system, answer.retrieval), []).append(index)
    return indices


def table_rows(
    answers: Sequence[SystemLists], evaluations: Sequence[ListMetrics], queries: Queries
) -> list[dict[str, Any]]:
    """Return a row per system and retrieval: means and ``sd`` over seeds, ``intervals`` over users.

    A metric that is undefined for all queries is None, and has neither.
    """
    rows = []
    for (system, retrieval), indices in group_by_system(answers).items():
        metrics = [evaluations[index].metrics for index in indices]
        facts = [answers[index].facts for index in indices]
        per_query = [evaluations[index].per_query for index in indices]
        row: dict[str, Any] = {"system": system, "retrieval": retrieval, "seeds": len(indices)}
        for seeds in (metrics, facts):
            row |= {key: _mean([one[key] for one in seeds]) for key in seeds[0]}
        if len(indices) > 1:
            row["sd"] = {
                key: float(np.std([one[key] for one in metrics], ddof=1))
                for key in metrics[0]
                if row[key] is not None
            }
        means = {key: np.mean([one[key] for one in per_query], axis=0) for key in per_query[0]}
        row["intervals"] = _intervals(means, queries.users)
        rows.append(row)
    return rows


def _mean(values: Sequence[float]) -> float | None:
    """Return the mean; a single value as it is, so that counts stay integers; None for NaN."""
    mean = values[0] if len(values) == 1 else float(np.mean(values))
    return None if np.isnan(mean) else mean


def _intervals(
    per_query: Mapping[str, Float[np.ndarray, " Q"]], users: Int[np.ndarray, " Q"]
) -> dict[str, tuple[float, float]]:
    """Return the interval of every metric over the queries for which it is defined."""
    keys_by_mask: dict[bytes, list[str]] = {}
    for key, values in per_query.items():
        keys_by_mask.setdefault(np.isnan(values).tobytes(), []).append(key)
    all_intervals: dict[str, tuple[float, float]] = {}
    for keys in keys_by_mask.values():
        is_known = ~np.isnan(per_query[keys[0]])
        if is_known.any():
            values = np.column_stack([per_query[key][is_known] for key in keys])
            intervals = bootstrap_intervals(values, users=users[is_known], seed=SEED)
            all_intervals |= dict(zip(keys, intervals, strict=True))
    return all_intervals


def comparisons(
    answers: Sequence[SystemLists],
    evaluations: Sequence[ListMetrics],
    queries: Queries,
    metric: str,
    against: str | None,
    untrained: Collection[str],
) -> list[dict[str, Any]]:
    """Return a row per comparison of ``against`` with another system.

    Args:
        answers: lists of all systems and seeds.
        evaluations: their metrics.
        queries: the queries.
        metric: the compared metric.
        against: the system that is compared with every other; the first if absent.
        untrained: systems without seed variance.
    """
    scores: dict[str, Float[np.ndarray, "seeds Q"]] = {
        system: np.stack([evaluations[index].per_query[metric] for index in indices])
        for (system, retrieval), indices in group_by_system(answers).items()
        if retrieval in COMPARED
    }
    results = compare(scores, queries.users, metric=metric, against=against, untrained=untrained)
    return [{**comparison.as_row(), "sentence": comparison.sentence()} for comparison in results]


def strata_rows(
    answers: Sequence[SystemLists],
    queries: Queries,
    ks: Sequence[int],
    item_counts: Int[np.ndarray, " I"],
    metric: str,
) -> list[dict[str, Any]]:
    """Return a row per system and stratum: means over seeds, and the interval of ``metric``."""
    kinds = {
        "target popularity": stratify_by_popularity(queries, item_counts),
        "history length": stratify_by_length(queries),
    }
    rows = []
    for (system, retrieval), indices in group_by_system(answers).items():
        if retrieval not in COMPARED:
            continue
        for by, strata in kinds.items():
            for group, selected, part in strata:
                per_query = [
                    evaluate_lists(
                        answers[index].items[selected], part, ks, len(item_counts)
                    ).per_query
                    for index in indices
                ]
                means = {
                    key: np.mean([one[key] for one in per_query], axis=0) for key in per_query[0]
                }
                ((low, high),) = bootstrap_intervals(
                    means[metric][:, None], users=part.users, seed=SEED
                )
                row = {"system": system, "by": by, "group": group, "queries": len(selected)}
                row |= {key: float(values.mean()) for key, values in means.items()}
                rows.append({**row, "interval": [low, high]})
    return rows


def order_rows(
    answers: Sequence[SystemLists],
    evaluations: Sequence[ListMetrics],
    shuffled: Mapping[tuple[str, int], ListMetrics],
    queries: Queries,
    metric: str,
) -> list[dict[str, Any]]:
    """Return the loss of every system when its histories are shuffled, mean over seeds.

    ``interval`` is the interval of the difference, over users.
    """
    rows = []
    for (system, retrieval), indices in group_by_system(answers).items():
        if retrieval != EXACT:
            continue
        in_order = np.mean([evaluations[index].per_query[metric] for index in indices], axis=0)
        shuffled_values = [
            shuffled[system, answers[index].seed].per_query[metric] for index in indices
        ]
        lost = np.mean(shuffled_values, axis=0) - in_order
        (interval,) = bootstrap_intervals(lost[:, None], users=queries.users, seed=SEED)
        base = float(in_order.mean())
        rows.append(
            {
                "system": system,
                "metric": metric,
                "in_order": base,
                "shuffled": float(np.mean(shuffled_values)),
                "relative": float(lost.mean()) / base if base else 0.0,
                "interval": list(interval),
            }
        )
    return rows


def per_user_table(
    answers: Sequence[SystemLists],
    evaluations: Sequence[ListMetrics],
    queries: Queries,
    prepared: PreparedData,
) -> pa.Table:
    """Return a row per system, seed and query: user, history length, number of targets, metrics.

    A metric that is undefined for a query is null.
    """
    user_ids = prepared.users()["user_id"].to_arrow().take(pa.array(queries.users))
    tables = []
    for answer, evaluation in zip(answers, evaluations, strict=True):
        columns = {
            "system": pa.array([answer.system] * len(queries.users)),
            "retrieval": pa.array([answer.retrieval] * len(queries.users)),
            "seed": pa.array([answer.seed] * len(queries.users)),
            "user_id": user_ids,
            "history_length": pa.array([len(history) for history in queries.histories]),
            "num_targets": pa.array([len(targets) for targets in queries.targets]),
        }
        columns |= {
            key: pa.array(value, from_pandas=True) for key, value in evaluation.per_query.items()
        }
        tables.append(pa.table(columns))
    return pa.concat_tables(tables)
