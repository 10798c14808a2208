"""Rows of the same measurement for models of several seeds, as one."""

import statistics
from collections.abc import Sequence
from dataclasses import replace

from benchmarks.engine.rows import Row, Target, spread


def pool_rows(rows: Sequence[Row]) -> Row:
    """Return the row of several models: the median of their values, and the first one's note."""
    first, runs = rows[0], [one.value for one in rows if one.value is not None]
    assert all((one.work, one.system) == (first.work, first.system) for one in rows)
    if len(runs) < 2:
        return first
    value, is_met = statistics.median(runs), first.is_met
    if first.target is not None:
        sense, bound = first.target.split()
        is_met = Target(sense, float(bound)).is_met(value)  # type: ignore[arg-type]
    listed = ", ".join(f"{run:.4g}" for run in runs)
    note = f"seeds {listed}; the first: {first.note}"
    return replace(first, value=value, runs=runs, spread=spread(runs), is_met=is_met, note=note)
