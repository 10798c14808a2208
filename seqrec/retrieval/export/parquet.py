"""Export to Parquet: ``NAME.parquet`` with the columns ``id`` and ``vector``."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float


def write(
    folder: Path, name: str, ids: Sequence[str], vectors: Float[np.ndarray, "N D"]
) -> list[Path]:
    """Write ids as text and vectors as fixed-size lists of float32, and return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    flat = pa.array(np.asarray(vectors, dtype=np.float32).reshape(-1))
    columns = {
        "id": pa.array(ids, type=pa.string()),
        "vector": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
    }
    path = folder / f"{name}.parquet"
    pq.write_table(pa.table(columns), path)
    return [path]


def read(folder: Path, name: str) -> tuple[list[str], Float[np.ndarray, "N D"]]:
    """Return the ids and vectors of an export."""
    table = pq.read_table(folder / f"{name}.parquet")
    vector = table["vector"].combine_chunks()
    flat = vector.flatten().to_numpy(zero_copy_only=False)
    return table["id"].to_pylist(), flat.reshape(len(table), vector.type.list_size)
