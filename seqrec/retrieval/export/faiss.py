"""Export to FAISS: ``NAME/{flat,hnsw,ivf}``, and the ids of their rows in ``NAME/ids.json``."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from seqrec.retrieval.exact import TILE_ITEMS, top_k_by_product
from seqrec.retrieval.export.ids import read_ids, write_ids
from seqrec.retrieval.index import KINDS, ItemIndex, build_index, recall_against_exact, search
from seqrec.retrieval.index_folder import load_index, save_index


def write(
    folder: Path,
    name: str,
    ids: Sequence[str],
    vectors: Float[np.ndarray, "N D"],
    *,
    queries: Float[np.ndarray, "Q D"],
    k: int,
    catalog_fingerprint: str,
    model_fingerprint: str,
) -> dict[str, float]:
    """Write one inner-product index of every kind, readable by plain FAISS.

    Args:
        folder: parent of the new folder ``name``.
        name: ``items`` or ``users``.
        ids: id of each row, as in the log.
        vectors: vector of each row.
        queries: sample of queries for the recall, such as user vectors.
        k: length of the lists for the recall.
        catalog_fingerprint: stored in every index and checked when it is loaded.
        model_fingerprint: stored and checked likewise.

    Returns:
        The recall@k of each kind against exact search.
    """
    target = folder / name
    target.mkdir(parents=True)
    write_ids(target, ids)
    exact = top_k_by_product(
        torch.as_tensor(queries), torch.as_tensor(vectors), k, tile_items=TILE_ITEMS
    )
    recalls = {}
    for kind in KINDS:
        index = build_index(vectors, kind)
        (target / kind).mkdir()
        save_index(
            index,
            target / kind,
            catalog_fingerprint=catalog_fingerprint,
            model_fingerprint=model_fingerprint,
        )
        recalls[kind] = recall_against_exact(search(index, queries, k).items, exact.items)
    return recalls


def read(
    folder: Path, name: str, kind: str, *, catalog_fingerprint: str, model_fingerprint: str
) -> tuple[list[str], ItemIndex]:
    """Return the ids and the index of ``kind`` from an export."""
    index = load_index(
        folder / name / kind,
        catalog_fingerprint=catalog_fingerprint,
        model_fingerprint=model_fingerprint,
    )
    return read_ids(folder / name), index
