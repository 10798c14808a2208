"""Folders of ``seqrec export --to onnx``: a model folder with a graph and tables beside it."""

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from jaxtyping import Int

from seqrec.errors import SeqRecError
from seqrec.files import check_types, read_json_object
from seqrec.models.folder import model_folder
from seqrec.models.weights import folder_fingerprint
from seqrec.onnx.graph import get_input_names, write_graph
from seqrec.onnx.parity import compare
from seqrec.onnx.recommender import OnnxRecommender
from seqrec.onnx.session import open_session
from seqrec.onnx.tables import write_tables
from seqrec.ranking.recommender import Recommender
from seqrec.tokens.events.times import NO_TIME

GRAPH_FILE = "decoder.onnx"
MANIFEST_FILE = "manifest.json"
FIX = "export again"


def write_export(
    recommender: Recommender, folder: Path, histories: Sequence[Int[np.ndarray, " T"]]
) -> dict[str, Any]:
    """Write the model, its graph and its tables, and return what a manifest says of them.

    Args:
        recommender: of a model folder.
        folder: an empty folder.
        histories: histories on which the graph is compared with the model.

    Raises:
        SeqRecError: a model that is in memory alone, cannot be exported or comes out otherwise.
    """
    source = recommender.folder
    if source is None or not source.is_dir():
        raise SeqRecError(f"--to onnx: {recommender.name} is in memory alone; name its folder")
    shutil.copytree(source, folder, dirs_exist_ok=True)
    files = write_graph(recommender.model, folder / GRAPH_FILE)
    exported = OnnxRecommender(recommender, open_session(folder / GRAPH_FILE))
    parity = compare(recommender, exported, histories)
    model = recommender.model
    return {
        "inputs": get_input_names(model),
        "max_length": model.config.max_length,
        "no_time": NO_TIME,
        **write_tables(recommender, folder),
        "parity": parity._asdict(),
        "graph": {file.name: _hash(file) for file in files},
        "folder_fingerprint": folder_fingerprint(folder),
    }


def open_onnx(folder: str | Path) -> OnnxRecommender:
    """Return the recommender of an export; of any other model folder, by a graph made on the way.

    Raises:
        SeqRecError: a file that is missing or broken, or does not belong to the others.
    """
    recommender, folder = Recommender.from_pretrained(folder), model_folder(folder)
    file = folder / GRAPH_FILE
    if file.is_file():
        _check_graph(folder)
        return OnnxRecommender(recommender, open_session(file))
    with TemporaryDirectory() as temporary:
        file = Path(temporary) / GRAPH_FILE
        write_graph(recommender.model, file)
        return OnnxRecommender(recommender, open_session(file))


def _check_graph(folder: Path) -> None:
    """Refuse a graph that is not the one of the manifest, or not of this model."""
    manifest_file = folder / MANIFEST_FILE
    manifest = read_json_object(manifest_file, FIX)
    check_types(manifest, {"graph": dict, "folder_fingerprint": str}, str(manifest_file))
    for name, digest in manifest["graph"].items():
        file = folder / Path(name).name
        if not file.is_file() or _hash(file) != digest:
            raise SeqRecError(f"{file}: missing or changed since the export; {FIX}")
    if manifest["folder_fingerprint"] != folder_fingerprint(folder):
        raise SeqRecError(f"{folder}: {GRAPH_FILE} is not of this model; {FIX}")


def _hash(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
