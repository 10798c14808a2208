"""The rows of a log while filters are applied, with the count that each filter drops."""

import numpy as np
import polars as pl
from jaxtyping import Bool, Int

from seqrec.errors import SeqRecError


class Rows:
    """The remaining rows of a log, and the number of rows that each filter dropped."""

    def __init__(
        self, name: str, table: pl.DataFrame, num_rows: int, num_without_id: int = 0
    ) -> None:
        """Start with all rows.

        Args:
            name: the log's name in messages.
            table: the rows that are not blank.
            num_rows: rows of the log, blank ones and those without an id included.
            num_without_id: rows that were left out for lack of an id.
        """
        self.name = name
        self.table = table
        self.counts = {
            "rows_read": num_rows,
            "blank_rows": num_rows - len(table) - num_without_id,
        }
        if num_without_id:
            self.counts["without_id"] = num_without_id
        self._options: list[str] = []

    def add_condition(self, num_rows_before: int) -> None:
        """Count the rows that ``--where`` kept and dropped, of those that were there before."""
        kept = self.counts["rows_read"]
        self.counts |= {"rows_read": num_rows_before, "kept_by_where": kept}
        self.counts["outside_where"] = num_rows_before - kept

    def keep(self, mask: pl.Expr | Bool[np.ndarray, " N"], counter: str, option: str) -> int:
        """Keep the rows of the mask; return the number of dropped rows.

        Args:
            mask: rows to keep.
            counter: the count that the dropped rows are added to.
            option: the option behind the filter, for the error.

        Raises:
            SeqRecError: no row is left.
        """
        if option not in self._options:
            self._options.append(option)
        before = len(self.table)
        self.table = self.table.filter(mask)
        num_dropped = before - len(self.table)
        self.counts[counter] = self.counts.get(counter, 0) + num_dropped
        if self.table.is_empty():
            raise SeqRecError(
                f"{self.name}: {' '.join(self._options)} leaves none of "
                f"{self.counts['rows_read']:,} rows; loosen it"
            )
        return num_dropped

    def get_ints(self, column: str) -> Int[np.ndarray, " N"]:
        """Return a column of integers or times, without nulls."""
        return self.table[column].cast(pl.Int64).to_numpy()
