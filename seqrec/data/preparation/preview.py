"""A preview of prepared histories: the first events of a few users."""

from typing import Any

import polars as pl

from seqrec.data.log.sources import Log
from seqrec.data.preparation.interactions import Interactions

NUM_USERS = 5
NUM_EVENTS = 5


def preview_histories(log: Log, interactions: Interactions) -> list[dict[str, Any]]:
    """Return the first users with their first events, oldest first: item, title and time."""
    titles = {}
    if log.items is not None and "title" in log.items.columns:
        known = log.items.select(pl.col("item_id").cast(pl.String), "title")
        titles = dict(known.iter_rows())
    preview = []
    for user in range(min(NUM_USERS, len(interactions.user_ids))):
        rows = interactions.table.filter(pl.col("user") == user)
        first = rows.head(NUM_EVENTS).select(
            "item", pl.col("time").dt.to_string("%Y-%m-%d %H:%M:%S")
        )
        events = []
        for item, at in first.iter_rows():
            item_id = interactions.item_ids[item]
            events.append({"item_id": item_id, "title": titles.get(item_id), "time": at})
        preview.append(
            {"user_id": interactions.user_ids[user], "interactions": len(rows), "first": events}
        )
    return preview
