"""The rows of an evaluation's tables, printed and in the report."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from seqrec.reports.tables import Estimate, columns_of, without_equal_hit_rates

ACCURACY = ("recall@", "hit_rate@", "ndcg@", "mrr@")
"""How the keys of the first table begin; other keys with a cut-off belong to the second."""
NAMES = ("system", "retrieval", "seeds")
DOUBTS = ("sd", "intervals")
"""Keys of a row that are no metrics: of what it is, and of how sure its metrics are."""


def own_rows(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The first row of each system: its own lists, after which those of its indexes come."""
    first = {row["system"]: row for row in reversed(rows)}
    return list(first.values())[::-1]


def accuracy_rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row a system: its accuracy at every cut-off, with spreads and intervals."""
    return table_rows(rows, lambda key: key.startswith(ACCURACY))


def printed_rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """``accuracy_rows`` with what was measured on the way."""
    return table_rows(rows, lambda key: key.startswith(ACCURACY) or key in fact_columns(rows))


def beyond_rows(
    rows: Sequence[Mapping[str, Any]], cut_off: int | None = None
) -> list[dict[str, Any]]:
    """A row a system: what its lists are like, at one cut-off or at all."""
    end = "" if cut_off is None else f"@{cut_off}"
    return table_rows(
        rows,
        lambda key: "@" in key and key.endswith(end) and not key.startswith(ACCURACY),
    )


def strata_table(strata: Sequence[Mapping[str, Any]], metric: str) -> list[dict[str, Any]]:
    """A row a system and stratum, with intervals of the metric by which systems are compared."""
    return [
        {key: row[key] for key in row if key != "interval"}
        | {metric: stratum_estimate(row, metric)}
        for row in without_equal_hit_rates(strata)
    ]


def stratum_estimate(row: Mapping[str, Any], metric: str) -> Estimate:
    return Estimate(row[metric], interval=row["interval"])


def fact_columns(rows: Sequence[Mapping[str, Any]]) -> set[str]:
    """What rows hold that is no metric."""
    return {key for key in columns_of(rows) if "@" not in key and key not in NAMES + DOUBTS}


def table_rows(
    rows: Sequence[Mapping[str, Any]], is_shown: Callable[[str], bool]
) -> list[dict[str, Any]]:
    """The rows' names and the metrics that are asked for, with what is known of their doubt."""
    is_title = {
        "system": True,
        "retrieval": any(row["retrieval"] != rows[0]["retrieval"] for row in rows),
        "seeds": any(row["seeds"] > 1 for row in rows),
    }
    return [
        {name: row[name] for name in NAMES if is_title[name]}
        | {key: _estimate(row, key) for key in row if is_shown(key)}
        for row in without_equal_hit_rates(rows)
    ]


def _estimate(row: Mapping[str, Any], key: str) -> Any:
    """A metric of a row with its spread and interval; what has neither, as it is."""
    spread, interval = row.get("sd", {}).get(key), row.get("intervals", {}).get(key)
    if spread is None and interval is None:
        return row[key]
    return Estimate(row[key], spread, None if interval is None else (interval[0], interval[1]))
