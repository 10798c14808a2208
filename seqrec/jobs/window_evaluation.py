"""Evaluation over sliding windows: every window by itself, then means and spread over them."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from seqrec.data.windows import WINDOW_PREFIX
from seqrec.outputs import METRICS_FILE, new_folder

WINDOW_FIELD = "{window}"
"""Stands for the number of the window in the name of a model or file."""

EvaluateWindow = Callable[[list[Any], Path, list[Any], str | None, Path | None], dict[str, Any]]
"""Evaluates models on a prepared folder, with recommendations files, the system that is compared
and the output folder."""


def evaluate_windows(
    evaluate_window: EvaluateWindow,
    models: Sequence[Any],
    windows: Sequence[Path],
    *,
    recommendations: Sequence[Any],
    against: str | None,
    out: Path | None,
    overwrite: bool,
) -> dict[str, Any]:
    """Evaluate the same systems on every window.

    Args:
        evaluate_window: evaluates one window.
        models: as in ``evaluate``; ``{window}`` in a name stands for the window's number.
        windows: the prepared folders.
        recommendations: recommendations files, with the same field.
        against: the system that is compared with the others.
        out: folder for ``metrics.json`` and the folder of every window.
        overwrite: replace ``out``.

    Returns:
        A row per system with means and standard deviations over the windows, and the result of
        every window.
    """
    results = []
    with ExitStack() as stack:
        folder = None
        if out is not None:
            folder = stack.enter_context(new_folder(out, overwrite=overwrite))
        for data in windows:
            number = data.name.removeprefix(WINDOW_PREFIX)
            result = evaluate_window(
                [_fill(model, number) for model in models],
                data,
                [_fill(file, number) for file in recommendations],
                _fill(against, number),
                None if folder is None else folder / data.name,
            )
            if out is not None:
                result["out"] = str(out / data.name)
            results.append({"window": int(number), "data": str(data), **result})
        summary = summarize_windows(results)
        if folder is not None and out is not None:
            text = json.dumps(summary, indent=2) + "\n"
            (folder / METRICS_FILE).write_text(text, encoding="utf-8")
            summary["out"] = str(out)
    return summary


def _fill(name: Any, number: str) -> Any:
    """Return a name or path with the number of the window; rankers and frames as they are."""
    return str(name).replace(WINDOW_FIELD, number) if isinstance(name, str | Path) else name


def summarize_windows(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the means over windows beside the results of each."""
    shared = [note for note in results[0]["notes"] if all(note in one["notes"] for one in results)]
    own = [
        f"window {result['window']}: {note}"
        for result in results
        for note in result["notes"]
        if note not in shared
    ]
    rows = zip(*(result["rows"] for result in results), strict=True)
    return {
        "protocol": f"mean and standard deviation over {len(results)} windows; the first: "
        + results[0]["protocol"],
        "notes": shared + own,
        "metric": results[0]["metric"],
        "rows": [_summarize_row(one) for one in rows],
        "windows": list(results),
    }


def _summarize_row(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a row of means over the windows with ``sd``; None for a metric no window defines."""
    first = rows[0]
    row: dict[str, Any] = {
        "system": _get_common_name([row["system"] for row in rows]),
        "retrieval": first["retrieval"],
        "seeds": first["seeds"],
        "sd": {},
    }
    for key, value in first.items():
        if key in (*row, "intervals") or not isinstance(value, int | float | None):
            continue
        values = [row[key] for row in rows if row.get(key) is not None]
        row[key] = float(np.mean(values)) if values else None
        if len(values) > 1 and "@" in key:
            row["sd"][key] = float(np.std(values, ddof=1))
    return row


def _get_common_name(names: Sequence[str]) -> str:
    """Return the name, with ``{window}`` for the part in which the windows' names differ."""
    if len(set(names)) == 1:
        return names[0]
    start = os.path.commonprefix(list(names))
    rests = [name.removeprefix(start)[::-1] for name in names]
    return start + WINDOW_FIELD + os.path.commonprefix(rests)[::-1]
