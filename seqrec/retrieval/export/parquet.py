"""Export to Parquet: ``NAME.parquet`` with ids, vectors, further columns and metadata."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float

from seqrec.errors import SeqRecError


def write(
    folder: Path,
    name: str,
    ids: Sequence[str],
    vectors: Float[np.ndarray, "N D"],
    *,
    columns: Mapping[str, pa.Array] | None = None,
    renamed: Mapping[str, str] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> list[Path]:
    """Write ids as text and vectors as fixed-size lists of float32, and return the file.

    Args:
        folder: the folder, made if absent.
        name: of the file, without suffix.
        ids: id of each row.
        vectors: vector of each row.
        columns: further columns, by name.
        renamed: names of columns in the file, by their usual names ``id``, ``vector`` and those of
            ``columns``.
        metadata: of the schema.

    Raises:
        SeqRecError: a renamed column that does not exist, or two of one name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    flat = pa.array(np.asarray(vectors, dtype=np.float32).reshape(-1))
    table = pa.table(
        {
            "id": pa.array(ids, type=pa.string()),
            "vector": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
            **(columns or {}),
        }
    )
    table = rename_columns(table, renamed or {}).replace_schema_metadata(dict(metadata or {}))
    path = folder / f"{name}.parquet"
    pq.write_table(table, path)
    return [path]


def rename_columns(table: pa.Table, renamed: Mapping[str, str]) -> pa.Table:
    """Return the table with some names replaced."""
    names = [renamed.get(name, name) for name in table.column_names]
    unknown = [name for name in renamed if name not in table.column_names]
    if unknown or len(set(names)) < len(names):
        held = ", ".join(table.column_names)
        what = f"no column {unknown[0]!r}" if unknown else "two columns of one name"
        raise SeqRecError(f"--columns: {what}; the rows have {held}")
    return table.rename_columns(names)


def read(folder: Path, name: str) -> tuple[list[str], Float[np.ndarray, "N D"]]:
    """Return the ids and vectors of an export."""
    table = pq.read_table(folder / f"{name}.parquet")
    vector = table["vector"].combine_chunks()
    flat = vector.flatten().to_numpy(zero_copy_only=False)
    return table["id"].to_pylist(), flat.reshape(len(table), vector.type.list_size)
