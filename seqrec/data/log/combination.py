"""Several files of one log as one lazy frame: one format and the same columns."""

from collections.abc import Collection, Sequence

import polars as pl

from seqrec.data.log.formats import LogFile, cast_to_text, detect_format, format_suffix, scan
from seqrec.data.log.layout import Layout, check_layout
from seqrec.data.log.readable import make_readable
from seqrec.data.log.source_files import SourceFile
from seqrec.data.log.text import first_lines
from seqrec.data.log.values import cast_if_numeric
from seqrec.errors import SeqRecError

MOVIELENS_COLUMNS = ["user_id", "item_id", "rating", "timestamp"]


def open_files(
    sources: Sequence[SourceFile], given_names: Collection[str], format: str | None
) -> list[LogFile]:
    """Return the files with their formats; empty ones are left out if others are not.

    Args:
        sources: the files of a log.
        given_names: column names from the user.
        format: the format; None to detect it.

    Raises:
        SeqRecError: a broken file, files of different formats or with different columns.
    """
    if len(sources) > 1:
        sources = [one for one in sources if one.path.stat().st_size > 0] or sources[:1]
    files: list[LogFile] = []
    names = set(given_names)
    for source in sources:
        file = _open_file(make_readable(source), names, format)
        if files:
            _check_alike(files[0], file)
        elif file.layout and file.layout.has_header:
            names |= set(file.layout.names)
        files.append(file)
    return files


def scan_files(files: Sequence[LogFile], ids: Sequence[str] = ()) -> pl.LazyFrame:
    """Return the rows of all files, one file after the other, and the keys of their partitions.

    Args:
        files: files of one format.
        ids: columns to return as text.

    Raises:
        SeqRecError: files with different columns.
    """
    if len(files) == 1 and not files[0].source.keys:
        log = scan(files[0])
        return cast_to_text(files[0], log, list(ids)) if ids else log
    keys = _read_keys(files)
    parts, schemas = [], []
    for number, file in enumerate(files):
        part = scan(file)
        own = part.collect_schema()
        part = cast_to_text(file, part, [name for name in ids if name in own]) if ids else part
        free = [key for key in keys if key not in own]
        part = part.with_columns(
            pl.lit(keys[key][number], keys[key].dtype).alias(key) for key in free
        )
        parts.append(part)
        schemas.append(part.collect_schema())
    if files[0].format == "ndjson":
        _check_types(files, schemas)
        return pl.concat(parts, how="diagonal_relaxed")
    for file, schema in zip(files, schemas, strict=True):
        if set(schema) != set(schemas[0]):
            raise _differ(files[0], list(schemas[0]), file, list(schema))
    _check_types(files, schemas)
    return pl.concat([part.select(schemas[0].names()) for part in parts], how="vertical_relaxed")


def _open_file(source: SourceFile, given_names: set[str], format: str | None) -> LogFile:
    """Return the file with its format; names of MovieLens and RecBole files determine theirs."""
    if format is None and source.file_name in ("u.data", "ratings.dat"):
        delimiter = "\t" if source.file_name == "u.data" else "::"
        first_row = first_lines(source)[0].split(delimiter)
        return LogFile(source, "csv", Layout(delimiter, False, MOVIELENS_COLUMNS, first_row, False))
    if format is None and format_suffix(source.original) == ".inter":
        lines = [line.split("\t") for line in first_lines(source)[:2]]
        names = [name.partition(":")[0] for name in lines[0]]
        layout = Layout("\t", True, names, lines[-1], is_quoted=False)
        return LogFile(source, "csv", check_layout(source, layout))
    return detect_format(source, given_names, format)


def _check_alike(first: LogFile, other: LogFile) -> None:
    if first.format != other.format:
        raise SeqRecError(
            f"{first.source} is {first.format} and {other.source} {other.format}; name the files "
            "of one log"
        )
    if first.source.keys.keys() != other.source.keys.keys():
        raise SeqRecError(
            f"{first.source} lies in partitions {list(first.source.keys)} and {other.source} in "
            f"{list(other.source.keys)}; name the files of one log"
        )
    if first.layout is None or other.layout is None:
        return
    if set(first.layout.names) != set(other.layout.names):
        raise _differ(first, first.layout.names, other, other.layout.names)
    if first.layout.delimiter != other.layout.delimiter:
        raise SeqRecError(
            f"{first.source} has the delimiter {first.layout.delimiter!r} and {other.source} "
            f"{other.layout.delimiter!r}; name the files of one log"
        )


def _differ(first: LogFile, names: list[str], other: LogFile, others: list[str]) -> SeqRecError:
    return SeqRecError(
        f"{first.source} has the columns {names} and {other.source} {others}; name the files of "
        "one log"
    )


def _check_types(files: Sequence[LogFile], schemas: Sequence[pl.Schema]) -> None:
    """Refuse a column that holds one kind of values in one file and another kind in another."""
    first: dict[str, int] = {}
    for number, schema in enumerate(schemas):
        for name, dtype in schema.items():
            if dtype == pl.Null:
                continue
            known = first.setdefault(name, number)
            before = schemas[known][name]
            if _kind(before) != _kind(dtype):
                raise SeqRecError(
                    f"column {name!r} holds {before} in {files[known].source} and {dtype} in "
                    f"{files[number].source}; write it in one type"
                )


def _kind(dtype: pl.DataType) -> str:
    if dtype.is_numeric():
        return "number"
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        return "text"
    return str(dtype.base_type())


def _read_keys(files: Sequence[LogFile]) -> dict[str, pl.Series]:
    """Return the values of each partition key by file; numbers unless the log is all text."""
    keys = {
        key: pl.Series(key, [file.source.keys.get(key) for file in files], dtype=pl.String)
        for key in files[0].source.keys
    }
    if files[0].format == "csv":
        return keys
    return {key: cast_if_numeric(values) for key, values in keys.items()}


def name_files(files: Sequence[LogFile]) -> dict[str, LogFile]:
    """Return the files by their names in the manifest."""
    labels = [file.source.label for file in files]
    is_unique = len(set(labels)) == len(labels)
    return {
        label if is_unique else str(file.source): file
        for label, file in zip(labels, files, strict=True)
    }
