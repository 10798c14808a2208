"""The lines of sliding windows: what was prepared, and an evaluation over them."""

from collections.abc import Mapping
from typing import Any

from seqrec.reports.evaluation_tables import own_rows, printed_rows
from seqrec.reports.tables import text_table

PREPARED_COUNTS = ("train", "validation", "test", "users", "items", "users_evaluated")


def prepared_window_lines(result: Mapping[str, Any]) -> list[str]:
    """A row per window: its folder, its dates and the sizes of its parts."""
    rows = [
        {"folder": window["out"], "split by": window["options"]["split_by"]}
        | {name.replace("_", " "): window["counts"][name] for name in PREPARED_COUNTS}
        for window in result["windows"]
    ]
    return [text_table(rows)]


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
