"""A run folder that is read again: its results and its log, checked before anything uses them."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from seqrec.errors import SeqRecError, quote
from seqrec.files import read_json_object
from seqrec.outputs import METRICS_FILE
from seqrec.reports.trained_models import SeedRun
from seqrec.training.epoch_log import LOSS, read_log
from seqrec.training.fit import LOG_FILE

FIX = "it is not as seqrec train wrote it; restore it, or move it away"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 53


def _is_duration(value: object) -> bool:
    return _is_number(value) and 0 <= float(value) < math.inf  # type: ignore[arg-type]


def _are_metrics(value: object) -> bool:
    return isinstance(value, dict) and all(_is_number(one) for one in value.values())


SELECTION: dict[str, Callable[[object], bool]] = {
    "selection_metric": lambda value: isinstance(value, str),
    "validation": _are_metrics,
}
"""Checks of the entries of ``metrics.json`` that protocol lines read."""
METRICS: dict[str, Callable[[object], bool]] = {
    "best_epoch": lambda value: value is None or _is_count(value),
    "num_epochs": _is_count,
    "num_parameters": _is_count,
    "costs": lambda value: isinstance(value, dict),
    "costs.train_seconds": _is_duration,
}
"""Checks of the entries of a log line that reports read."""
LINE: dict[str, Callable[[object], bool]] = {"epoch": _is_count, LOSS: _is_number}
"""The same of a line of the log."""


def read_metrics(run: Path) -> dict[str, Any] | None:
    """Return the results of a run; None if it has none.

    Raises:
        SeqRecError: a file that is broken, or entries of another kind.
    """
    file = run / METRICS_FILE
    if not file.is_file():
        return None
    metrics = read_json_object(file, FIX)
    _check(metrics, SELECTION, file)
    return metrics


def read_seed_run(seed: int, run: Path) -> SeedRun | None:
    """Return the results and the log of a run; None if it has not both.

    Raises:
        SeqRecError: a file that is broken, or entries of another kind.
    """
    metrics, log = read_metrics(run), run / LOG_FILE
    if metrics is None or not log.is_file():
        return None
    _check(metrics, METRICS, run / METRICS_FILE)
    lines = read_log(log)
    validated = f"val/{metrics['selection_metric']}"
    for number, line in enumerate(lines, 1):
        where = f"{log}: line {number}"
        if not isinstance(line, dict):
            raise SeqRecError(f"{where}: is no JSON object; {FIX}")
        expected = LINE | ({validated: _is_number} if validated in lines[0] else {})
        _check(line, expected, where)
    return SeedRun(seed, metrics, lines)


def _check(
    entries: dict[str, Any], expected: dict[str, Callable[[object], bool]], where: object
) -> None:
    for name, is_right in expected.items():
        value: Any = entries
        for part in name.split("."):
            if part not in value:
                raise SeqRecError(f"{where}: {name} is missing; {FIX}")
            value = value[part]
        if not is_right(value):
            raise SeqRecError(f"{where}: {name} is {quote(value)}; {FIX}")
