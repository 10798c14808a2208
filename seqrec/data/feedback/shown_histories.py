"""The history that each comparison of a pairs file follows."""

from pathlib import Path

import numpy as np
import polars as pl

from seqrec.data.feedback.answers import NO_ITEM
from seqrec.data.feedback.counts import keep_example
from seqrec.data.feedback.ragged import Ragged
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError

NO_USER = -1


def get_shown_histories(
    table: pl.DataFrame,
    file: Path,
    data: PreparedData,
    item_ids: pl.Series,
    counts: dict[str, int],
    unknown: dict[str, str],
) -> Ragged:
    """Return the history of every row, or else the training part of its user.

    Args:
        table: the rows of a pairs file.
        file: the table's name in messages.
        data: the users and their histories.
        item_ids: the catalog.
        counts: receives the counts of unknown ids.
        unknown: receives an example of each.

    Raises:
        SeqRecError: the column ``history`` holds no lists.
    """
    try:
        history = table["history"].cast(pl.List(pl.String))
    except pl.exceptions.PolarsError as error:
        raise SeqRecError(
            f"{file}: column 'history' holds {table['history'].dtype}, not lists of item ids"
        ) from error
    lengths = history.list.len().fill_null(0).cast(pl.Int64).to_numpy()
    flat = history.filter(pl.Series(lengths > 0)).explode().rename("item_id").to_frame()
    known = pl.DataFrame({"item_id": item_ids, "item": np.arange(len(item_ids))})
    items = flat.join(known, on="item_id", how="left", maintain_order="left")["item"]
    values = items.fill_null(NO_ITEM).to_numpy()
    counts["unknown_items_in_histories"] = int((values == NO_ITEM).sum())
    unknown_items = flat["item_id"].filter(pl.Series(values == NO_ITEM))
    keep_example(unknown, "unknown_items_in_histories", unknown_items)
    owners = np.repeat(np.arange(len(lengths)), lengths)[values != NO_ITEM]
    given = Ragged(values[values != NO_ITEM], np.bincount(owners, minlength=len(lengths)))
    is_empty = history.is_null().to_numpy() | (lengths == 0)
    is_empty &= table["user_id"].is_not_null().to_numpy()
    if not is_empty.any():
        return given
    users = data.users().select("user", "user_id")
    matched = table.select("user_id").join(users, on="user_id", how="left", maintain_order="left")
    user = matched["user"].cast(pl.Int64).fill_null(NO_USER).to_numpy()
    counts["unknown_users"] = int((is_empty & (user == NO_USER)).sum())
    unknown_users = table["user_id"].filter(pl.Series(is_empty & (user == NO_USER)))
    keep_example(unknown, "unknown_users", unknown_users)
    log = data.histories()
    lists = []
    starts = given.starts
    for row in range(len(lengths)):
        if is_empty[row] and user[row] != NO_USER:
            lists.append(log.training_part(user[row]).astype(np.int64))
        else:
            lists.append(given.get(row, starts[row]))
    return Ragged(
        np.concatenate([np.empty(0, np.int64), *lists]),
        np.array([len(items) for items in lists], dtype=np.int64),
    )
