"""Ids as text: spaces around them, whole floats and words for nothing."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Int

from seqrec.errors import SeqRecError

WORDS_FOR_NOTHING = frozenset(
    ("NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "Null", "None", "none", "NaT")
    + ("\\N", "<NA>", "#N/A", "<null>", "undefined")
)
"""Ids that programs write where there is none."""

MOST_EXACT_FLOAT = 2**53
_FLOAT = r"^-?(\d+\.\d*|\d+(\.\d*)?[eE]\+?\d+)$"
_NUMBER = r"^-?\d+(\.\d*)?([eE]\+?\d+)?$"


@dataclass(frozen=True)
class TidyIds:
    """Distinct ids in seqrec's form, null for missing ones, and the ids that changed."""

    ids: pl.Series
    is_stripped: pl.Series
    """True where spaces around the id were removed."""
    is_whole: pl.Series
    """True where a float such as ``1000.0`` became the integer that it is."""
    is_nothing: pl.Series
    """True where the id is a word for nothing such as ``NULL``."""


def tidy_ids(ids: pl.Series, where: str) -> TidyIds:
    """Return distinct ids without spaces around them, whole floats as integers.

    Floats become integers if all ids are numbers. A word for nothing becomes null.

    Args:
        ids: distinct ids as text.
        where: the column, for messages.

    Raises:
        SeqRecError: a float of 2^53 or more, which does not hold every integer.
    """
    stripped = ids.str.strip_chars()
    is_nothing = stripped.is_in(list(WORDS_FOR_NOTHING)).fill_null(False)
    known = stripped.set((stripped == "") | is_nothing, None)
    is_float = known.str.contains(_FLOAT).fill_null(False)
    is_whole = is_float & False
    if is_float.any() and known.str.contains(_NUMBER).drop_nulls().all():
        values = known.set(~is_float, None).cast(pl.Float64)
        too_large = values.abs() >= MOST_EXACT_FLOAT
        if too_large.any():
            raise SeqRecError(
                f"{where}: the id {known.filter(too_large.fill_null(False))[0]} is a float of 2^53 "
                "or more, which may stand for several integers; write ids as integers or text, or "
                "add --verbatim-ids"
            )
        is_whole = (values == values.floor()).fill_null(False)
        known = known.zip_with(
            ~is_whole, values.set(~is_whole, None).cast(pl.Int64).cast(pl.String)
        )
    return TidyIds(known, (stripped != ids).fill_null(False), is_whole, is_nothing)


def merge_equal(codes: pl.Series, ids: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Return codes and ids in which equal ids have one code; null ids have none.

    Args:
        codes: row of ``ids`` of every interaction; null for a missing id.
        ids: ids in order of first appearance, perhaps with repetitions and nulls.
    """
    if ids.null_count() == 0 and ids.is_unique().all():
        return codes, ids
    distinct = ids.drop_nulls().unique(maintain_order=True)
    number = pl.DataFrame({"id": distinct}).with_row_index("number")
    new = pl.DataFrame({"id": ids}).join(number, on="id", how="left", maintain_order="left")
    return new["number"].gather(codes), distinct


def count_rows(codes: pl.Series, mask: pl.Series) -> int:
    """Return the number of rows whose id is in the mask."""
    if not mask.any():
        return 0
    rows: Int[np.ndarray, " I"] = np.bincount(codes.drop_nulls().to_numpy(), minlength=len(mask))
    return int(rows[mask.to_numpy()].sum())
