"""``seqrec export``: item and user embeddings for the retrieval system that one runs already."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

import seqrec
from seqrec.builders.named_models import open_recommender
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.evaluation.conditions import whole_histories
from seqrec.outputs import new_folder, refuse_existing
from seqrec.retrieval.export import faiss, numpy, parquet

KINDS = ("parquet", "numpy", "faiss")
MANIFEST_FILE = "manifest.json"
MAX_SAMPLE_QUERIES = 1000
RECALL_K = 10


def export(
    model: str | Path,
    *,
    to: str,
    out: str | Path,
    data: str | Path | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write the vectors of all items, and with ``data`` of all users, in another system's form.

    A user's vector is that of the whole history; its product with an item's vector is the
    item's score, but for what a memory adds: the manifest says whether ``scores_are_products``.

    Args:
        model: run or model folder.
        to: ``parquet``, ``numpy``, or ``faiss``: an index of the items of every kind, and the
            users' vectors as NumPy, to search them with.
        out: folder.
        data: prepared folder whose users are exported too.
        overwrite: replace ``out``.

    Returns:
        The manifest that is written with the vectors.
    """
    if to not in KINDS:
        raise SeqRecError(f"--to {to}: choose from {', '.join(KINDS)}")
    refuse_existing(Path(out), overwrite)
    prepared = PreparedData.open(data) if data is not None else None
    recommender = open_recommender(model, prepared)
    tables = {"items": (recommender.item_ids, recommender.item_embeddings())}
    if prepared is not None:
        whole = whole_histories(recommender, prepared)
        user_ids = prepared.users()["user_id"].to_list()
        tables["users"] = (user_ids, recommender.vectors_of(whole))
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
    with new_folder(Path(out), overwrite=overwrite) as folder:
        for name, (ids, vectors) in tables.items():
            if to == "parquet":
                parquet.write(folder, name, ids, vectors)
            elif to == "numpy" or name == "users":
                numpy.write(folder, name, ids, vectors)
            else:
                queries = tables.get("users", tables["items"])[1]
                manifest["recall_against_exact"] = faiss.write(
                    folder,
                    name,
                    ids,
                    vectors,
                    queries=_sample(queries),
                    k=RECALL_K,
                    catalog_fingerprint=recommender.catalog_fingerprint,
                    model_fingerprint=recommender.fingerprint,
                )
        (folder / MANIFEST_FILE).write_text(json.dumps(manifest, indent=2) + "\n")
    return {"out": str(out), **manifest}


def _sample(vectors: Float[np.ndarray, "U D"]) -> Float[np.ndarray, "Q D"]:
    """Evenly spaced rows, as queries to judge an index by."""
    places = np.linspace(0, len(vectors) - 1, min(len(vectors), MAX_SAMPLE_QUERIES))
    return vectors[places.round().astype(int)]
