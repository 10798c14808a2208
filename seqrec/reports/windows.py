"""The lines of an evaluation over sliding windows."""

from collections.abc import Mapping
from typing import Any

from seqrec.reports.evaluation_tables import own_rows, printed_rows
from seqrec.reports.tables import text_table


def window_lines(result: Mapping[str, Any]) -> list[str]:
    """The table of means with standard deviations, and the metric of the comparisons by window."""
    metric, names = result["metric"], [row["system"] for row in own_rows(result["rows"])]
    by_window = [
        {
            "window": window["window"],
            "data": window["data"],
            "queries": window["counts"]["queries"],
            **{
                name: row[metric] for name, row in zip(names, own_rows(window["rows"]), strict=True)
            },
        }
        for window in result["windows"]
    ]
    return [
        text_table(printed_rows(result["rows"])),
        result["protocol"],
        *result["notes"],
        "",
        f"{metric} by window:",
        text_table(by_window),
    ]
