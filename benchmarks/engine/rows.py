"""Rows of results, what they are held against, and the files that keep them."""

import json
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from benchmarks.engine.machine import ROOT, commit, machine, versions

RESULTS = ROOT / "benchmarks" / "results"
DIGITS = 4


@dataclass(frozen=True)
class Target:
    """A bound on a row's ratio, or on its value where it has no ratio."""

    sense: Literal[">=", "<="]
    bound: float

    def is_met(self, figure: float) -> bool:
        """Return whether a figure meets the bound; the bound itself does."""
        return figure >= self.bound if self.sense == ">=" else figure <= self.bound

    def __str__(self) -> str:
        return f"{self.sense} {self.bound:g}"


def at_least(bound: float) -> Target:
    """A target from below."""
    return Target(">=", bound)


def at_most(bound: float) -> Target:
    """A target from above."""
    return Target("<=", bound)


@dataclass(frozen=True)
class Row:
    """A figure."""

    name: str
    """The measurement that it belongs to."""
    work: str
    system: str
    value: float | None
    """The median of all runs; None if nothing was measured."""
    unit: str
    ratio: float | None
    """A ratio; ``work`` or ``note`` names what it relates to."""
    target: str | None
    """The bound of the ratio if there is one, else of the value."""
    is_met: bool | None
    runs: list[float]
    spread: float | None
    """(largest - smallest) / median of the runs."""
    command: str
    commit: str
    note: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    """Values for plots."""

    def __str__(self) -> str:
        value = "-" if self.value is None else f"{self.value:g} {self.unit}"
        ratio = "" if self.ratio is None else f"  ratio {self.ratio:g}"
        target = "" if self.target is None else f"  (target {self.target})"
        return f"{self.work}  [{self.system}]  {value}{ratio}{target}  {self.note}".rstrip()


def row(
    name: str,
    work: str,
    runs: Sequence[float],
    unit: str,
    *,
    system: str = "seqrec",
    ratio: float | None = None,
    target: Target | None = None,
    average: Callable[[Sequence[float]], float] = statistics.median,
    note: str = "",
    facts: dict[str, Any] | None = None,
    module: str = "benchmarks.engine",
) -> Row:
    """The row of some runs: their median, unless another average is given."""
    value = average(runs) if runs else None
    figure = value if ratio is None else ratio
    return Row(
        name=name,
        work=work,
        system=system,
        value=_rounded(value),
        unit=unit,
        ratio=_rounded(ratio),
        target=str(target) if target else None,
        is_met=target.is_met(figure) if target and figure is not None else None,
        runs=[_rounded(run) or 0.0 for run in runs],
        spread=_rounded(spread(runs)),
        command=f"python -m {module} {name}",
        commit=commit(),
        note=note,
        facts=facts or {},
    )


def not_measured(name: str, work: str, reason: Exception, module: str = "benchmarks.engine") -> Row:
    """The row of what could not be measured, which says why."""
    kind = type(reason).__name__.lower()
    return row(name, work, [], "", note=f"{kind}: {reason}", module=module)


def spread(runs: Sequence[float]) -> float | None:
    """(largest - smallest) / median; None of less than two runs, or around 0."""
    if len(runs) < 2 or not (median := statistics.median(runs)):
        return None
    return (max(runs) - min(runs)) / median


def write_rows(file: Path, name: str, rows: Sequence[Row]) -> None:
    """Replace the rows of one measurement in a file and keep those of the others."""
    kept = read(file)["rows"] if file.exists() else []
    kept = [entry for entry in kept if entry["name"] != name]
    results = {
        "name": file.stem,
        "commit": commit(),
        "machine": machine(),
        "versions": versions(),
        "rows": [*kept, *map(asdict, rows)],
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def read(file: Path) -> dict[str, Any]:
    """The results that a file holds."""
    return json.loads(file.read_text(encoding="utf-8"))


def _rounded(value: float | None) -> float | None:
    """To a few significant digits, whole numbers kept whole."""
    if value is None or not math.isfinite(value):
        return None
    digits = DIGITS - 1 - math.floor(math.log10(abs(value))) if value else 0
    return round(value, max(digits, 0))
