"""The outcome of one property: a measurement with its bound, or a reason why there is none."""

from typing import Literal, NamedTuple

Result = Literal["passed", "failed", "does not apply", "not run"]


class DoesNotApply(Exception):
    """A property that this kind of model cannot have; the message gives the reason."""


class Measured(NamedTuple):
    """A deviation from what a property says; the property holds up to the bound."""

    deviation: float
    bound: float
    note: str
    """Inputs of the measurement, and an example of a deviation."""


class Finding(NamedTuple):
    """A row of the table of properties."""

    property: str
    result: Result
    deviation: float | None
    bound: float | None
    note: str

    @classmethod
    def judge(cls, name: str, measured: Measured) -> "Finding":
        """Return whether a property holds; a deviation that is NaN fails."""
        result: Result = "passed" if measured.deviation <= measured.bound else "failed"
        return cls(name, result, *measured)

    @classmethod
    def without_measurement(cls, name: str, result: Result, reason: str) -> "Finding":
        """Return the row of a property that was not measured."""
        return cls(name, result, None, None, reason)
