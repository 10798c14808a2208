"""Export to NDJSON: ``NAME.ndjson``, a JSON object a row, for bulk loaders of search engines."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from seqrec.retrieval.export.parquet import rename_columns

BATCH_ROWS = 10_000


def write(
    folder: Path,
    name: str,
    ids: Sequence[str],
    vectors: Float[np.ndarray, "N D"],
    *,
    columns: Mapping[str, pa.Array] | None = None,
    renamed: Mapping[str, str] | None = None,
) -> list[Path]:
    """Write a line per row: ``{"id": ..., "vector": [...], ...}``, and return the file.

    Numbers of a vector are the shortest decimals that give the same float32. Empty cells are left
    out.

    Args:
        folder: the folder, made if absent.
        name: of the file, without suffix.
        ids: id of each row.
        vectors: vector of each row.
        columns: further columns, by name.
        renamed: names in the file, by their usual names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    vectors = np.asarray(vectors, dtype=np.float32)
    table = pa.table({"id": pa.array(ids, type=pa.string()), "vector": ids, **(columns or {})})
    new_names = rename_columns(table, renamed or {}).column_names
    names = dict(zip(table.column_names, new_names, strict=True))
    path = folder / f"{name}.ndjson"
    with path.open("w", encoding="utf-8") as file:
        for start in range(0, len(table), BATCH_ROWS):
            batch = table.slice(start, BATCH_ROWS).to_pylist()
            for row, vector in zip(batch, vectors[start : start + BATCH_ROWS], strict=True):
                numbers = ",".join(map(str, vector))
                fields = [
                    f"{json.dumps(names[key])}: "
                    + (f"[{numbers}]" if key == "vector" else json.dumps(value, ensure_ascii=False))
                    for key, value in row.items()
                    if value is not None
                ]
                file.write("{" + ", ".join(fields) + "}\n")
    return [path]
