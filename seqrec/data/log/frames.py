"""polars, pandas and Arrow frames, and datasets of Hugging Face, as lazy polars frames."""

from typing import Any
from uuid import UUID

import polars as pl
import pyarrow as pa

from seqrec.data.read_errors import one_line_errors
from seqrec.errors import SeqRecError


def to_lazy_frame(source: Any) -> pl.LazyFrame:
    """Return a polars, pandas or Arrow frame, or a ``datasets.Dataset``, as a lazy polars frame.

    Raises:
        SeqRecError: another object, or a frame that polars cannot hold.
    """
    if isinstance(source, pl.LazyFrame | pl.DataFrame):
        return source.lazy()
    if type(source).__module__.partition(".")[0] == "pyspark":
        raise SeqRecError(
            "a Spark frame is read from its files: write it with frame.write.parquet(FOLDER) and "
            "name the folder"
        )
    if type(source).__module__.partition(".")[0] == "datasets":
        source = _to_arrow(source)
    is_pandas = type(source).__module__.partition(".")[0] == "pandas"
    if is_pandas and hasattr(source, "select_dtypes"):
        return _from_pandas(source).lazy()
    is_arrow = isinstance(source, pa.Table | pa.RecordBatch)
    if is_arrow or (hasattr(source, "__arrow_c_stream__") and not is_pandas):
        with one_line_errors("the frame"):
            return pl.DataFrame(source).lazy()
    raise SeqRecError(
        f"a {type(source).__name__} is no source: name a file or folder, or give a polars, "
        "pandas or Arrow frame"
    )


def _to_arrow(source: Any) -> pa.Table:
    """Return a ``datasets.Dataset`` as a table, in the order of its rows.

    Raises:
        SeqRecError: a dataset that is streamed, or a dictionary of splits.
    """
    if isinstance(source, dict):
        names = ", ".join(map(repr, source))
        raise SeqRecError(f"a {type(source).__name__} has several tables; give one of {names}")
    if not hasattr(source, "num_rows"):
        raise SeqRecError(
            f"a {type(source).__name__} is streamed; load the dataset with streaming=False"
        )
    return source.with_format("arrow")[:]


def _from_pandas(frame: Any) -> pl.DataFrame:
    """Return a pandas frame as a polars frame; columns of mixed objects become text."""
    duplicates = frame.columns[frame.columns.duplicated()]
    if len(duplicates):
        raise SeqRecError(f"the frame: column {duplicates[0]!r} occurs twice; rename one")
    objects = [name for name, dtype in frame.dtypes.items() if dtype.kind == "O"]
    if any(isinstance(value, UUID) for name in objects for value in frame[name].head(1)):
        frame = frame.assign(**{name: _to_text(frame[name]) for name in objects})
    try:
        return pl.from_pandas(frame)
    except (TypeError, ValueError, OverflowError, pa.ArrowException):
        return pl.from_pandas(frame.assign(**{name: _to_text(frame[name]) for name in objects}))


def _to_text(values: Any) -> list[str | None]:
    return [None if _is_missing(value) else _write(value) for value in values]


def _write(value: Any) -> str:
    """Return the text of a value; a whole float is the integer that it is."""
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


def _is_missing(value: Any) -> bool:
    return value is None or value != value
