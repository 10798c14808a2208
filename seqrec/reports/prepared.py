"""The lines that ``seqrec prepare`` prints: how the log was understood, and its counts."""

from collections.abc import Mapping, Sequence
from typing import Any

PRINTED_COUNTS = (
    "kept_by_where",
    "users",
    "items",
    "unwatched_items",
    "one_interaction_users",
    "train",
    "validation",
    "test",
    "users_evaluated",
    "users_not_evaluated",
    "cold_users",
    "cold_items",
    "leaked_interactions",
    "untimed_interactions",
)


def prepare_lines(result: Mapping[str, Any]) -> list[str]:
    """Return five lines on columns, times, order, split and rows, then notes and counts."""
    understood, counts = result["understood"], result["counts"]
    return [
        f"columns  {_format_columns(understood['columns'])}",
        f"times    {_format_times(understood['time'])}",
        f"order    {_format_order(understood['order'])}",
        f"split    {_format_split(understood['split'])}",
        f"rows     {_format_rows(understood['rows'])}",
        *(f"note     {note}" for note in understood["notes"]),
        *_appended_lines(result.get("appended", ())),
        *(
            f"{name.replace('_', ' ')}: {counts[name]:,}"
            for name in PRINTED_COUNTS
            if name in counts
        ),
        *_preview_lines(result.get("preview", ())),
    ]


def _appended_lines(parts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line on the log that was appended last."""
    return [
        f"appended {part['new_rows']:,} rows of {part['source']}, {part['new_items']:,} new items, "
        f"{part['new_users']:,} new users"
        for part in parts[-1:]
    ]


def _format_columns(columns: Mapping[str, Mapping[str, str]]) -> str:
    parts = [
        f"{role} {entry['column']!r} (by {entry['found_by']})" for role, entry in columns.items()
    ]
    return ", ".join([*parts, *(["no time"] if "time" not in columns else [])])


def _format_times(time: Mapping[str, str] | None) -> str:
    if time is None:
        return "none"
    return f"{time['unit']}, {time['first']} to {time['last']} UTC"


def _format_order(order: Mapping[str, Any]) -> str:
    if order["by"] == "file":
        return "each user's rows as in the file"
    return f"by {order['by']}; {order['ties']:,} ties keep the order of the file"


def _format_split(split: Mapping[str, Any]) -> str:
    parts = [split["by"]]
    for name in ("validation", "test"):
        if f"{name}_from" in split:
            parts.append(f"{name} from {split[f'{name}_from'][:19].replace('T', ' ')}")
        elif name in split:
            parts.append(f"{name} {split[name][0]} to {split[name][1]}")
    return "; ".join(parts)


def _format_rows(rows: Mapping[str, Any]) -> str:
    dropped = [
        f"{count:,} {reason.removesuffix('_dropped').replace('_', ' ')}"
        for reason, count in rows["dropped"].items()
    ]
    return f"{rows['read']:,} read, {rows['kept']:,} kept; dropped: {', '.join(dropped) or 'none'}"


def _preview_lines(preview: Any) -> list[str]:
    return [
        f"user {row['user_id']!r}: {row['interactions']:,} interactions: "
        + ", ".join(_format_event(event) for event in row["first"])
        for row in preview
    ]


def _format_event(event: Mapping[str, Any]) -> str:
    title = f" {event['title']}" if event["title"] else ""
    time = f" ({event['time']})" if event["time"] else ""
    return f"{event['item_id']!r}{title}{time}"
