"""Export to NumPy: ``NAME/vectors.npy`` and the ids of its rows in ``NAME/ids.json``."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from seqrec.retrieval.export.ids import read_ids, write_ids


def write(
    folder: Path, name: str, ids: Sequence[str], vectors: Float[np.ndarray, "N D"]
) -> list[Path]:
    """Write the vectors as float32 without pickling, and return the files."""
    target = folder / name
    target.mkdir(parents=True)
    np.save(target / "vectors.npy", np.asarray(vectors, dtype=np.float32), allow_pickle=False)
    write_ids(target, ids)
    return [target / "vectors.npy", target / "ids.json"]


def read(folder: Path, name: str) -> tuple[list[str], Float[np.ndarray, "N D"]]:
    """Return the ids and vectors of an export."""
    target = folder / name
    return read_ids(target), np.load(target / "vectors.npy", allow_pickle=False)
