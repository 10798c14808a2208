"""Histories of the users of a prepared folder, looked up by their ids."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from seqrec.data.histories import Histories
from seqrec.data.item_table import ItemTable
from seqrec.data.prepared import PreparedData
from seqrec.data.splits import TRAIN

PARTS = ("training", "validation", "test")


class Watched(NamedTuple):
    """One interaction of a user."""

    item_id: str
    title: str
    part: str
    """``training``, ``validation`` or ``test``."""


@dataclass(frozen=True)
class LogUsers:
    """The histories of a prepared folder by user id."""

    table: ItemTable
    histories: Histories
    user_ids: list[str]
    _row_by_id: dict[str, int]

    @classmethod
    def read(cls, prepared: PreparedData) -> "LogUsers":
        """Read the interactions, items and users of a prepared folder."""
        user_ids = prepared.users()["user_id"].to_list()
        rows = {user_id: row for row, user_id in enumerate(user_ids)}
        table = ItemTable.build(prepared.items())
        return cls(table, prepared.histories(), user_ids, rows)

    def find(self, user_id: str) -> list[Watched] | None:
        """Return the interactions of a user, oldest first; None for an unknown user."""
        row = self._row_by_id.get(user_id)
        if row is None:
            return None
        own = slice(*self.histories.offsets[row : row + 2])
        return [
            Watched(self.table.item_ids[item], self.table.titles[item], PARTS[part])
            for item, part in zip(
                self.histories.items[own].tolist(), self.histories.split[own].tolist(), strict=True
            )
        ]

    def list_examples(self, count: int) -> list[str]:
        """Return evenly spaced users that have held-out interactions, all users if none has."""
        is_held_out = np.append(self.histories.split != TRAIN, False)
        starts = np.minimum(self.histories.offsets[:-1], len(is_held_out) - 1)
        has_any = np.logical_or.reduceat(is_held_out, starts) if len(starts) else is_held_out[:0]
        rows = np.flatnonzero(has_any)
        rows = rows if len(rows) else np.arange(len(self.user_ids))
        places = np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int)
        return [self.user_ids[row] for row in rows[places]]
