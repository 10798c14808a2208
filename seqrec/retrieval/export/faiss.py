"""Export to FAISS: ``NAME/{flat,hnsw,ivf}``, and the ids of their rows in ``NAME/ids.json``."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from seqrec.retrieval.exact import TILE_ITEMS, top_k_by_product
from seqrec.retrieval.export.ids import read_ids, write_ids
from seqrec.retrieval.index import KINDS, ItemIndex, build_index, recall_against_exact, search
from seqrec.retrieval.index_folder import load_index, save_index

SECONDS_BETWEEN_LINES = 5.0


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
    kinds: Sequence[str] = KINDS,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, float]:
    """Write one inner-product index of each kind, readable by plain FAISS.

    Args:
        folder: parent of the new folder ``name``.
        name: ``items`` or ``users``.
        ids: id of each row, as in the log.
        vectors: vector of each row.
        queries: sample of queries for the recall, such as user vectors.
        k: length of the lists for the recall.
        catalog_fingerprint: stored in every index and checked when it is loaded.
        model_fingerprint: stored and checked likewise.
        kinds: kinds of indexes, in the order in which they are built.
        say: called with a line about each index, and about the progress of long ones.

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
    for kind in kinds:
        started = time.perf_counter()
        index = build_index(vectors, kind, _progress(kind, len(ids), say))
        seconds = time.perf_counter() - started
        (target / kind).mkdir()
        save_index(
            index,
            target / kind,
            catalog_fingerprint=catalog_fingerprint,
            model_fingerprint=model_fingerprint,
        )
        recalls[kind] = recall_against_exact(search(index, queries, k).items, exact.items)
        built = f"{kind}: {len(ids):,} {name} in {seconds:.1f} s"
        say(f"{built}, recall@{k} against exact search {recalls[kind]:.3f}")
    return recalls


def _progress(kind: str, num_all: int, say: Callable[[str], None]) -> Callable[[int], None]:
    """Return a function that says how much of an index is built, every few seconds."""
    said_at = time.perf_counter()

    def report(num_added: int) -> None:
        nonlocal said_at
        now = time.perf_counter()
        if num_added < num_all and now - said_at > SECONDS_BETWEEN_LINES:
            said_at = now
            say(f"{kind}: {num_added / num_all:.0%} of {num_all:,} vectors are added")

    return report


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
