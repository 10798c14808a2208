"""``seqrec export --to onnx``: the decoder as a graph, with tables, beside the model."""

import json
from pathlib import Path
from typing import Any

import seqrec
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.evaluation.conditions import read_whole_histories
from seqrec.onnx.folder import MANIFEST_FILE, write_export
from seqrec.onnx.parity import draw, sample
from seqrec.outputs import new_folder
from seqrec.ranking.recommender import Recommender


def export_onnx(
    recommender: Recommender, prepared: PreparedData | None, out: Path, overwrite: bool
) -> dict[str, Any]:
    """Write the export, and return its manifest.

    Args:
        recommender: of a model folder.
        prepared: data on whose users the graph is compared with the model; None: drawn histories.
        out: folder.
        overwrite: replace ``out``.

    Raises:
        SeqRecError: a model that cannot be exported, or data of another catalog.
    """
    if prepared is None:
        histories = draw(recommender)
    elif prepared.catalog_fingerprint == recommender.catalog_fingerprint:
        histories = sample(read_whole_histories(recommender, prepared))
    else:
        raise SeqRecError(
            f"--data {prepared.path}: another catalog than the model's; leave it out, and drawn "
            "histories are compared"
        )
    with new_folder(out, overwrite=overwrite) as folder:
        manifest = {
            "version": seqrec.__version__,
            "to": "onnx",
            "width": recommender.model.config.state_width,
            "scores_are_products": recommender.scores_are_products,
            "catalog_fingerprint": recommender.catalog_fingerprint,
            "counts": {"items": recommender.num_items},
            **write_export(recommender, folder, histories),
        }
        text = json.dumps(manifest, indent=2) + "\n"
        (folder / MANIFEST_FILE).write_text(text, encoding="utf-8")
    return {"out": str(out), **manifest}
