"""The table of an evaluation folder as texts, for the page of the server."""

from pathlib import Path
from typing import Any

from seqrec.errors import refuse_unreadable
from seqrec.files import read_json_object
from seqrec.outputs import METRICS_FILE
from seqrec.reports.evaluation_tables import printed_rows
from seqrec.reports.tables import Estimate, cell, list_columns

FIX = "write one with seqrec evaluate --out"


def read_evaluation(folder: Path) -> dict[str, Any]:
    """Return the columns and rows of an evaluation, and the sentences below its table.

    Raises:
        SeqRecError: no evaluation folder.
    """
    with refuse_unreadable(f"--evaluation {folder}: as an evaluation folder", FIX):
        result = read_json_object(folder / METRICS_FILE, FIX)
        rows = printed_rows(result["rows"])
        columns = list_columns(rows)
        sentences = [comparison["sentence"] for comparison in result["comparisons"]]
        return {
            "columns": columns,
            "rows": [[_format(row.get(column)) for column in columns] for row in rows],
            "notes": [str(result["protocol"]), *map(str, result["notes"]), *sentences],
        }


def _format(value: Any) -> str:
    """Return the text of a cell, with the uncertainty of an estimate after it."""
    spread = value.format_uncertainty() if isinstance(value, Estimate) else []
    return f"{cell(value)} ({', '.join(spread)})" if spread else cell(value)
