"""Files of comparisons or labels from annotators: Parquet, NDJSON, CSV or TSV."""

import difflib
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from seqrec.data.parquet import read_parquet
from seqrec.data.read_errors import one_line_errors
from seqrec.errors import SeqRecError, quote, refuse_unreadable
from seqrec.files import check_no_stream, parse_json

MISSPELT = 0.8
"""Similarity from which a column's name is taken for a misspelt one."""
TEXT_LISTS = ("history", "chosen", "rejected")


def read_comparisons(file: Path) -> pl.DataFrame:
    """Read a file of comparisons."""
    return read_rows(file, TEXT_LISTS, "weight")


def read_rows(file: Path, lists: Sequence[str], number: str) -> pl.DataFrame:
    """Read the rows of a Parquet, NDJSON, CSV or TSV file with a header.

    In CSV and TSV, a cell that starts with ``[`` is a JSON list; any other is one id.

    Args:
        file: the path.
        lists: columns that may hold lists of ids.
        number: a column of numbers.

    Raises:
        SeqRecError: no such file, or one that cannot be read.
    """
    check_no_stream(file)
    if not file.is_file():
        raise SeqRecError(f"{file}: no such file")
    kind = file.suffix.lower()
    if kind in (".parquet", ".pq"):
        return read_parquet(file)
    with one_line_errors(str(file)), refuse_unreadable(str(file), "write it again"):
        if kind in (".ndjson", ".jsonl"):
            return pl.read_ndjson(file.read_bytes())
        if kind in (".csv", ".tsv"):
            separator = "\t" if kind == ".tsv" else ","
            table = pl.read_csv(file, separator=separator, infer_schema=False, glob=False)
            return _parse_lists(table, file, lists, number)
    raise SeqRecError(f"{file}: name a .parquet, .ndjson, .jsonl, .csv or .tsv file")


def refuse_misspelt(columns: Sequence[str], known: Sequence[str], file: Path) -> None:
    """Refuse a column whose name is nearly that of a known one that the file does not have.

    Raises:
        SeqRecError: the first such column.
    """
    absent = [name for name in known if name not in columns]
    for column in columns:
        plain = column.strip().lower().replace(" ", "_").replace("-", "_")
        near = difflib.get_close_matches(plain, absent, n=1, cutoff=MISSPELT)
        if column not in known and near:
            raise SeqRecError(
                f"{file}: column {quote(column)} is not read; did you mean {near[0]}? rename it, "
                "or remove it"
            )


def _parse_lists(
    table: pl.DataFrame, file: Path, names: Sequence[str], number: str
) -> pl.DataFrame:
    """Parse text columns whose cells are JSON lists, and a column of numbers."""
    for name in set(names) & set(table.columns):
        cells = table[name].to_list()
        is_list = [cell is not None and cell.startswith("[") for cell in cells]
        if not any(is_list) and name != "history":
            continue
        lists = []
        for row, (cell, has_list) in enumerate(zip(cells, is_list, strict=True), 2):
            try:
                lists.append(parse_json(cell) if has_list else None if cell is None else [cell])
            except ValueError as error:
                raise SeqRecError(
                    f'{file}: row {row}: {name} is not a JSON list; write it as ["a", "b"]'
                ) from error
        depth = pl.List(pl.String)
        if any(isinstance(entry, list) for cell in lists if cell for entry in cell):
            depth = pl.List(depth)
            lists = [cell and [x if isinstance(x, list) else [x] for x in cell] for cell in lists]
        texts = [_as_texts(cell) for cell in lists]
        table = table.with_columns(pl.Series(name, texts, dtype=depth))
    if number in table.columns:
        values = table[number].cast(pl.Float64, strict=False)
        values = values.fill_null(float("nan")).set(table[number].is_null(), None)
        table = table.with_columns(values.alias(number))
    return table


def _as_texts(cell: object) -> object:
    """Return ids as text, numbers included."""
    if isinstance(cell, list):
        return [_as_texts(entry) for entry in cell]
    return None if cell is None else str(cell)
