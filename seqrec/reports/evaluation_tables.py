"""The rows of an evaluation's tables, printed and in the report."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from seqrec.reports.tables import Estimate, list_columns, without_equal_hit_rates

ACCURACY = ("recall@", "hit_rate@", "ndcg@", "mrr@")
"""First words of the metrics of the accuracy table; others belong to the table beyond accuracy."""
NAMES = ("system", "retrieval", "seeds")
UNCERTAINTY = ("sd", "intervals")
"""Keys of a row beside its metrics: its names, and the uncertainty of its metrics."""


def own_rows(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The first row of each system: exact lists, before those of its indexes."""
    first = {row["system"]: row for row in reversed(rows)}
    return list(first.values())[::-1]


def accuracy_rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row per system with its accuracy at every cut-off, standard deviations and intervals."""
    return table_rows(rows, lambda key: key.startswith(ACCURACY))


def printed_rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """``accuracy_rows`` with other measurements, such as speed."""
    return table_rows(rows, lambda key: key.startswith(ACCURACY) or key in fact_columns(rows))


def beyond_rows(
    rows: Sequence[Mapping[str, Any]], cut_off: int | None = None
) -> list[dict[str, Any]]:
    """A row per system with the metrics beyond accuracy, at one cut-off or at all."""
    end = "" if cut_off is None else f"@{cut_off}"
    return table_rows(
        rows,
        lambda key: "@" in key and key.endswith(end) and not key.startswith(ACCURACY),
    )


def strata_table(strata: Sequence[Mapping[str, Any]], metric: str) -> list[dict[str, Any]]:
    """A row per system and stratum, with intervals of the metric of the comparisons."""
    return [
        {key: row[key] for key in row if key != "interval"}
        | {metric: stratum_estimate(row, metric)}
        for row in without_equal_hit_rates(strata)
    ]


def stratum_estimate(row: Mapping[str, Any], metric: str) -> Estimate:
    return Estimate(row[metric], interval=row["interval"])


def fact_columns(rows: Sequence[Mapping[str, Any]]) -> set[str]:
    """The measurements among the columns, which are no metrics."""
    return {key for key in list_columns(rows) if "@" not in key and key not in NAMES + UNCERTAINTY}


def table_rows(
    rows: Sequence[Mapping[str, Any]], is_shown: Callable[[str], bool]
) -> list[dict[str, Any]]:
    """The names of the rows and the selected metrics, with their uncertainty."""
    is_named = {
        "system": True,
        "retrieval": any(row["retrieval"] != rows[0]["retrieval"] for row in rows),
        "seeds": any(row["seeds"] > 1 for row in rows),
    }
    return [
        {name: row[name] for name in NAMES if is_named[name]}
        | {key: _estimate(row, key) for key in row if is_shown(key)}
        for row in without_equal_hit_rates(rows)
    ]


def _estimate(row: Mapping[str, Any], key: str) -> Any:
    """A metric of a row with its standard deviation and interval, or the bare value."""
    deviation, interval = row.get("sd", {}).get(key), row.get("intervals", {}).get(key)
    if deviation is None and interval is None:
        return row[key]
    return Estimate(row[key], deviation, None if interval is None else (interval[0], interval[1]))
