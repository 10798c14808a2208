"""The catalog as a table: rows by id, and masks by conditions on its columns."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import polars as pl
import polars.selectors as cs
from jaxtyping import Bool, Int

from seqrec.data.read_errors import PARSER_ERRORS
from seqrec.errors import SeqRecError, first_line

MOSTLY = 0.9
"""Share of numbers in a text column that may be compared with numbers."""
TOKENS = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|\w+(?:\.\d+)?|\s+|.", re.DOTALL)
"""SQL in pieces: texts, quoted names, words and numbers, blanks, single signs."""
RECENT = 32
"""Conditions, and columns of groups, whose results a table keeps."""


@dataclass(frozen=True)
class ItemTable:
    """The items of a catalog, a row each, in catalog order."""

    items: pl.DataFrame
    """``item_id`` and the known attributes."""
    item_ids: list[str]
    _row_by_id: dict[str, int]

    @classmethod
    def build(cls, items: pl.DataFrame) -> "ItemTable":
        """Return the table of an ``items.parquet``."""
        item_ids = items["item_id"].to_list()
        return cls(items, item_ids, {item_id: row for row, item_id in enumerate(item_ids)})

    def __contains__(self, item_id: str) -> bool:
        return item_id in self._row_by_id

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def titles(self) -> list[str]:
        """The display name of every item: its title, or its id where it has none."""
        ids = self.items["item_id"]
        titles = self.items["title"].fill_null(ids) if "title" in self.items.columns else ids
        return titles.to_list()

    def find(self, item_ids: Iterable[str]) -> tuple[Int[np.ndarray, " S"], list[str]]:
        """Return the rows of ids in their order, and the ids that are not in the catalog."""
        ids = list(item_ids)
        rows = [self._row_by_id.get(item_id, -1) for item_id in ids]
        unknown = []
        if -1 in rows:
            unknown = [item_id for item_id, row in zip(ids, rows, strict=True) if row < 0]
            rows = [row for row in rows if row >= 0]
        return np.array(rows, dtype=np.int64), unknown

    def get_row(self, item_id: str, option: str) -> int:
        """Return the row of an id.

        Raises:
            SeqRecError: the id is not in the catalog.
        """
        if item_id not in self._row_by_id:
            raise SeqRecError(f"{option} {item_id}: not in the catalog")
        return self._row_by_id[item_id]

    def select_where(self, condition: str) -> Bool[np.ndarray, " I"]:
        """Return a mask of the items that fulfil a condition.

        A condition is an SQL expression on the item columns, such as ``year > 1990 AND title LIKE
        'A%'``. ``COLUMN contains 'VALUE'`` tests lists for an entry, and texts for a part. An item
        for which the result is unknown (an empty cell) is not selected. Equal conditions give one
        mask, which cannot be written.

        Raises:
            SeqRecError: no condition, or one on unknown columns.
        """
        return self._recent_masks(condition)

    @cached_property
    def _recent_masks(self) -> Callable[[str], Bool[np.ndarray, " I"]]:
        return lru_cache(RECENT)(self._compute_mask)

    @cached_property
    def _recent_groups(self) -> Callable[[str], list[list[int]]]:
        return lru_cache(RECENT)(self._number_groups)

    def _compute_mask(self, condition: str) -> Bool[np.ndarray, " I"]:
        option = f"--where {condition}"
        try:
            expression = pl.sql_expr(self._rewrite_contains(condition))
            mask = self._evaluate(expression)
        except pl.exceptions.ColumnNotFoundError as error:
            columns = ", ".join(self.items.columns)
            raise SeqRecError(f"{option}: no such column; the items have {columns}") from error
        except PARSER_ERRORS as error:
            raise SeqRecError(
                f"{option}: {first_line(error)}; write it as \"genres contains 'Comedy' AND "
                'year > 1990"'
            ) from error
        if mask.dtype != pl.Boolean:
            raise SeqRecError(f"{option}: gives {mask.dtype}, not true or false; compare with =, >")
        selected = mask.fill_null(False).to_numpy().copy()
        selected.flags.writeable = False
        return selected

    def _evaluate(self, condition: pl.Expr) -> pl.Series:
        """Return the values of a condition; text that is mostly numbers compares with numbers."""
        selected = condition.alias("is selected")
        try:
            return self.items.with_columns(selected)["is selected"]
        except pl.exceptions.ComputeError:
            texts = self.items.select(cs.string())
            numbers = texts.with_columns(cs.all().cast(pl.Float64, strict=False))
            numeric = [
                column
                for column in numbers
                if column.count() >= MOSTLY * texts[column.name].count() > 0
            ]
            return self.items.with_columns(numeric).with_columns(selected)["is selected"]

    def count_values(self, column: str) -> list[tuple[str, int]]:
        """Return the entries of a column of lists of text with their counts, most frequent first.

        Nothing if there is no such column.
        """
        cells = self.items[column] if column in self.items.columns else pl.Series(dtype=pl.Null)
        if cells.dtype != pl.List(pl.String):
            return []
        counts = cells.explode().drop_nulls().value_counts(sort=True, name="count")
        return list(counts.sort("count", column, descending=[True, False]).iter_rows())

    def get_groups(self, column: str, option: str) -> list[list[int]]:
        """Return the values of every item, numbered; the entries of a list are one value each.

        Raises:
            SeqRecError: no such column, or one of neither values nor lists of them.
        """
        if column not in self.items.columns:
            columns = ", ".join(self.items.columns)
            raise SeqRecError(f"{option}: no column {column!r}; the items have {columns}")
        cells = self.items[column]
        is_list = isinstance(cells.dtype, pl.List)
        inner = cells.dtype.inner if is_list else cells.dtype  # type: ignore[attr-defined]
        if inner.is_nested() or inner == pl.Object:
            raise SeqRecError(f"{option}: column {column!r} of the items holds {cells.dtype}")
        return self._recent_groups(column)

    def _number_groups(self, column: str) -> list[list[int]]:
        cells = self.items[column]
        is_list = isinstance(cells.dtype, pl.List)
        table = pl.DataFrame({"item": np.arange(len(cells)), "value": cells})
        pairs = (table.explode("value") if is_list else table).drop_nulls().unique()
        groups: list[list[int]] = [[] for _ in range(len(cells))]
        numbers = pairs["value"].rank("dense").to_list()
        for item, number in zip(pairs["item"].to_list(), numbers, strict=True):
            groups[item].append(number)
        return groups

    def _rewrite_contains(self, condition: str) -> str:
        """Return a condition in polars' SQL, which has functions in place of ``contains``."""
        tokens = TOKENS.findall(condition)
        places = [place for place, token in enumerate(tokens) if not token.isspace()]
        for before, place, after in zip(places, places[1:], places[2:], strict=False):
            if tokens[place].lower() == "contains":
                name, value = tokens[before], tokens[after]
                self._check_contains(name, value, condition)
                is_list = isinstance(self.items.schema.get(name.strip('"')), pl.List)
                function = "array_contains({}, {})" if is_list else "strpos({}, {}) > 0"
                tokens[before : after + 1] = [
                    f"({function.format(name, value)})",
                    *[""] * (after - before),
                ]
        return "".join(tokens)

    def _check_contains(self, name: str, value: str, condition: str) -> None:
        if not (name[:1] == '"' or name.isidentifier()) or not re.match(r"['\w]", value):
            raise SeqRecError(
                f"--where {condition}: write a column, contains, and a value: genres contains "
                "'Comedy'"
            )
