"""``seqrec export``: item and user embeddings for an external retrieval system."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

import seqrec
from seqrec.arguments import check_arguments
from seqrec.builders.named_models import NamedModel, open_recommender
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.evaluation.conditions import read_whole_histories
from seqrec.jobs.export_onnx import export_onnx
from seqrec.outputs import locate_output, new_folder, refuse_existing, reserve_output
from seqrec.retrieval.export import faiss, numpy, parquet

KINDS = ("parquet", "numpy", "faiss", "onnx")
MANIFEST_FILE = "manifest.json"
MAX_SAMPLE_QUERIES = 1000
RECALL_K = 10


@check_arguments
def export(
    model: NamedModel,
    *,
    to: str,
    out: str | Path,
    data: str | Path | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write the vectors of all items, and with ``data`` of all users.

    A user's vector encodes the whole history. Its product with an item's vector is the item's
    score, except for the transition prior; ``scores_are_products`` is true without one. With
    ``onnx`` the decoder itself: a model folder that ONNX Runtime computes, also without seqrec.

    Args:
        model: run or model folder.
        to: ``parquet``, ``numpy``, or ``faiss``: indexes of the items, one of each kind, and the
            users' vectors as NumPy arrays; ``onnx``: the decoder as a graph, with tables.
        out: folder.
        data: prepared folder whose users are also exported; with ``onnx``: on whose histories the
            graph is compared with the model, drawn ones if absent.
        overwrite: replace ``out``.

    Returns:
        The manifest, which is also written with the vectors.

    Raises:
        SeqRecError: a mistake in format, model, data or output.
    """
    if to not in KINDS:
        raise SeqRecError(f"--to {to}: choose from {', '.join(KINDS)}")
    out = locate_output(out)
    refuse_existing(out, overwrite, (model, data))
    with reserve_output(out):
        prepared = PreparedData.open(data) if data is not None else None
        if to == "onnx":
            return export_onnx(open_recommender(model), prepared, out, overwrite)
        recommender = open_recommender(model, prepared)
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
            (folder / MANIFEST_FILE).write_text(
                json.dumps(manifest, indent=2) + "\n", encoding="utf-8"
            )
        return {"out": str(out), **manifest}


def _sample(vectors: Float[np.ndarray, "U D"]) -> Float[np.ndarray, "Q D"]:
    """Return evenly spaced rows, as queries to measure the recall of an index."""
    rows = np.linspace(0, len(vectors) - 1, min(len(vectors), MAX_SAMPLE_QUERIES))
    return vectors[rows.round().astype(int)]
