"""Comparisons of one system with every other over the same queries."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from seqrec.errors import SeqRecError
from seqrec.evaluation.significance import bootstrap_interval, holm, paired_randomization

LEVEL = 0.05
MARGIN = 0.03
"""The largest relative loss at which a system counts as not inferior."""
SEED = 0


@dataclass(frozen=True)
class Comparison:
    """One system compared with another by a metric, averaged over seeds."""

    system: str
    other: str
    metric: str
    difference: float
    """Mean over queries of the system's minus the other's."""
    base: float
    """The other's mean."""
    interval: tuple[float, float]
    """95 % bootstrap interval of ``difference``."""
    p_value: float
    """Two-sided, by paired randomisation, adjusted by Holm over the table."""
    has_one_sign: bool
    """The difference has the same sign in every seed."""
    runs: int | None
    """Seeds of the trained system, the smaller number if both are trained; None if neither is."""

    @property
    def relative(self) -> float | None:
        """``difference`` over the other's mean; None if that is 0."""
        return self.difference / self.base if self.base else None

    @property
    def is_significant(self) -> bool:
        """True if the difference is significant over users and has the same sign in every seed."""
        return self.p_value < LEVEL and self.has_one_sign

    @property
    def is_not_inferior(self) -> bool:
        """True if the interval excludes a loss of ``MARGIN``."""
        return self.interval[0] > -MARGIN * self.base

    def as_row(self) -> dict[str, Any]:
        """Return the fields and verdicts, for JSON."""
        names = ("relative", "is_significant", "is_not_inferior")
        verdicts = {name: getattr(self, name) for name in names}
        return {**asdict(self), "interval": list(self.interval), **verdicts}

    def sentence(self) -> str:
        """Return the verdict in words."""
        if self.is_significant:
            verdict = f"{self.system if self.difference > 0 else self.other} wins"
            verdict += " (one run: seed variance is not included)" * (self.runs == 1)
        elif self.is_not_inferior:
            verdict = f"may be chance; {self.system} is not inferior (margin {MARGIN:.0%})"
        else:
            verdict = "may be chance"
        low, high = self.interval
        relative = "" if self.relative is None else f"{self.relative:+.1%}; "
        return (
            f"{self.metric}, {self.system} against {self.other}: {self.difference:+.4f} "
            f"({relative}95 % interval {low:+.4f} to {high:+.4f}; "
            f"p = {self.p_value:.4f}): {verdict}"
        )


def compare(
    scores: Mapping[str, Float[np.ndarray, "seeds Q"]],
    users: Int[np.ndarray, " Q"],
    *,
    metric: str,
    against: str | None = None,
    untrained: Collection[str] = (),
) -> list[Comparison]:
    """Compare one system with every other of a table.

    Users are drawn, not queries: all queries of a user are flipped and resampled together. Seeds
    of two systems are compared in pairs if their numbers are equal; else each seed is compared
    with the mean of the other system.

    Args:
        scores: by system, the metric of every query, a row per seed.
        users: the user of every query.
        metric: name of the metric.
        against: the system to compare with the others; the first if absent.
        untrained: systems without seed variance.

    Raises:
        SeqRecError: ``against`` is not in the table.
    """
    scores = {system: np.asarray(values, dtype=np.float64) for system, values in scores.items()}
    name = next(iter(scores)) if against is None else against
    if name not in scores:
        raise SeqRecError(f"--against {name}: choose from {', '.join(scores)}")
    ours = scores[name]
    others = {other: values for other, values in scores.items() if other != name}
    tests = [
        paired_randomization(ours.mean(axis=0), values.mean(axis=0), users=users, seed=SEED)
        for values in others.values()
    ]
    adjusted = holm([test.p_value for test in tests])
    results = []
    for (other, values), test, p_value in zip(others.items(), tests, adjusted, strict=True):
        differences = ours.mean(axis=0) - values.mean(axis=0)
        results.append(
            Comparison(
                system=name,
                other=other,
                metric=metric,
                difference=test.difference,
                base=float(values.mean()),
                interval=bootstrap_interval(differences, users=users, seed=SEED),
                p_value=p_value,
                has_one_sign=_has_one_sign(ours, values),
                runs=min(
                    (len(scores[one]) for one in (name, other) if one not in untrained),
                    default=None,
                ),
            )
        )
    return results


def _has_one_sign(
    ours: Float[np.ndarray, "seeds Q"], others: Float[np.ndarray, "others Q"]
) -> bool:
    one, other = ours.mean(axis=1), others.mean(axis=1)
    if len(one) != len(other):
        one, other = (
            np.append(one, np.full(len(other), one.mean())),
            np.append(np.full(len(one), other.mean()), other),
        )
    signs = np.sign(one - other)
    return bool((signs == signs[0]).all() and signs[0] != 0)
