"""``seqrec export`` to files: Parquet, NDJSON, NumPy arrays or FAISS indexes."""

import json
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

import seqrec
from seqrec.data.item_rows import build_item_rows
from seqrec.data.prepared import PreparedData
from seqrec.evaluation.conditions import read_whole_histories
from seqrec.outputs import new_folder
from seqrec.ranking.recommender import Recommender
from seqrec.retrieval.export import faiss, ndjson, numpy, parquet

FLAT_ALONE = "faiss-flat"
KINDS = ("parquet", "numpy", "faiss", FLAT_ALONE, "ndjson")
ROW_KINDS = ("parquet", "ndjson")
"""Files of rows, with more columns than vectors."""
METRIC = "inner_product"
MANIFEST_FILE = "manifest.json"
MAX_SAMPLE_QUERIES = 1000
RECALL_K = 10


def export_files(
    recommender: Recommender,
    prepared: PreparedData | None,
    to: str,
    out: Path,
    payload: Sequence[str],
    columns: Mapping[str, str] | None,
    overwrite: bool,
) -> dict[str, Any]:
    """Write the vectors of all items, and with data of all users; see ``seqrec.export``.

    Args:
        recommender: the model, which reads the histories of ``prepared``.
        prepared: data whose users are also exported; None: items alone.
        to: one of ``KINDS``.
        out: folder.
        payload: columns of the items in files of rows.
        columns: new names of columns in files of rows.
        overwrite: replace ``out``.
    """
    tables = {"items": (recommender.item_ids, recommender.item_embeddings())}
    if prepared is not None:
        whole = read_whole_histories(recommender, prepared)
        user_ids = prepared.users()["user_id"].to_list()
        tables["users"] = (user_ids, recommender.embed_histories(whole))
    manifest: dict[str, Any] = {
        "version": seqrec.__version__,
        "to": to,
        "width": recommender.width,
        "scores_are_products": recommender.scores_are_products,
        "catalog_fingerprint": recommender.catalog_fingerprint,
        "tokenizer_fingerprint": recommender.model.config.tokenizer_fingerprint,
        "model_fingerprint": recommender.fingerprint,
        "counts": {name: len(ids) for name, (ids, _) in tables.items()},
    }
    with new_folder(out, overwrite=overwrite) as folder:
        for table, (ids, vectors) in tables.items():
            if to in ROW_KINDS:
                rows = _get_columns(recommender, vectors, payload) if table == "items" else {}
                _write_rows(folder, to, table, ids, vectors, rows, columns, manifest)
            elif to == "numpy" or table == "users":
                numpy.write(folder, table, ids, vectors)
            else:
                queries = tables.get("users", tables["items"])[1]
                manifest["recall_against_exact"] = faiss.write(
                    folder,
                    table,
                    ids,
                    vectors,
                    queries=_sample(queries),
                    k=RECALL_K,
                    catalog_fingerprint=recommender.catalog_fingerprint,
                    model_fingerprint=recommender.fingerprint,
                    kinds=("flat",) if to == FLAT_ALONE else faiss.KINDS,
                    say=partial(print, file=sys.stderr, flush=True),
                )
        (folder / MANIFEST_FILE).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return {"out": str(out), **manifest}


def _get_columns(
    recommender: Recommender, vectors: Float[np.ndarray, "I D"], payload: Sequence[str]
) -> dict[str, Any]:
    """Return the columns that rows carry besides id and vector."""
    rows = build_item_rows(recommender.items, vectors, payload)
    return {name: rows[name].combine_chunks() for name in rows.column_names[2:]}


def _write_rows(
    folder: Path,
    to: str,
    name: str,
    ids: Sequence[str],
    vectors: Float[np.ndarray, "N D"],
    columns: Mapping[str, Any],
    renamed: Mapping[str, str] | None,
    manifest: Mapping[str, Any],
) -> None:
    """Write a file of rows; users have no columns, so only id and vector are renamed."""
    known = {"id", "vector", *columns}
    if name == "users":
        renamed = {old: new for old, new in (renamed or {}).items() if old in known}
    if to == "ndjson":
        ndjson.write(folder, name, ids, vectors, columns=columns, renamed=renamed)
        return
    metadata = {key: str(value) for key, value in manifest.items() if key not in ("to", "counts")}
    parquet.write(
        folder,
        name,
        ids,
        vectors,
        columns=columns,
        renamed=renamed,
        metadata={"metric": METRIC, **metadata},
    )


def _sample(vectors: Float[np.ndarray, "U D"]) -> Float[np.ndarray, "Q D"]:
    """Return evenly spaced rows, as queries to measure the recall of an index."""
    rows = np.linspace(0, len(vectors) - 1, min(len(vectors), MAX_SAMPLE_QUERIES))
    return vectors[rows.round().astype(int)]
