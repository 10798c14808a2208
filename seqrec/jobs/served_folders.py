"""Loading of the models of ``seqrec serve``, also behind pointers."""

import hashlib
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

from seqrec.builders.named_models import NamedModel, parse_baseline
from seqrec.builders.text_search import build_text_search
from seqrec.config.defaults import SERVE
from seqrec.errors import SeqRecError
from seqrec.files import read_text
from seqrec.jobs.list_requests import get_search, serve_model
from seqrec.onnx.folder import open_onnx
from seqrec.ranking.ranker import Ranker
from seqrec.ranking.recommender import Recommender
from seqrec.ranking.served import Served
from seqrec.retrieval.index import build_index
from seqrec.search.language_reading import Decoder
from seqrec.serving.served_models import LoadedModel

FLAT, HNSW = "flat", "hnsw"
MAX_POINTER_BYTES = 1 << 16
VERSION_LETTERS = 12

Engines = Literal["torch", "onnx"]
"""The library that computes a model: PyTorch, or ONNX Runtime."""


def load_model(
    name: str,
    model: NamedModel,
    data: str | Path | None,
    retrieval: str,
    engine: Engines = SERVE.engine,
    decoder: Decoder | None = None,
) -> LoadedModel:
    """Return a model that is ready to answer.

    Args:
        name: its name in requests.
        model: a folder, a pointer to one, a baseline's name, or a ranker in memory.
        data: prepared folder that a baseline is fitted to.
        retrieval: ``flat``, ``hnsw``, the folder of an exported index or the address of a store.
        engine: what computes the models of folders.
        decoder: language model that reads conditions of requests in words.

    Raises:
        SeqRecError: no such folder or baseline, or one that cannot be loaded.
    """
    is_folder = not isinstance(model, Ranker) and os.path.exists(model)
    if is_folder:
        folder = follow_pointer(Path(str(model)))
        model = open_onnx(folder) if engine == "onnx" else folder
    else:
        parse_baseline(model)  # refuses a folder that is missing
    served = serve_model(model, None if is_folder else data, None, None)
    if retrieval == HNSW and isinstance(served.ranker, Recommender):
        index = build_index(served.ranker.item_embeddings(), HNSW)
        search = partial(served.ranker.rank_by_index, index, is_rescored=True)
        served = replace(served, search=search)
    elif retrieval != FLAT and isinstance(served.ranker, Recommender):
        served = replace(served, search=get_search(served.ranker, retrieval))
    else:
        retrieval = FLAT
    kind = retrieval if retrieval in (FLAT, HNSW) else "store"
    return LoadedModel(
        name,
        served,
        _get_fingerprint(served),
        _get_version(served, decoder),
        kind,
        open_text=partial(build_text_search, language_model=decoder),
    )


def follow_pointer(path: Path) -> Path:
    """Return the folder that a pointer names: the path itself, or the first line of a file.

    Raises:
        SeqRecError: a file that names no folder.
    """
    if os.path.isdir(path):
        return path
    lines = read_text(path, "name a folder", MAX_POINTER_BYTES).splitlines()
    folder = path.parent / lines[0].strip() if lines and lines[0].strip() else path
    if not os.path.isdir(folder):  # also of a name that is too long
        raise SeqRecError(f"{path}: its first line names no folder; write the path of a model")
    return folder


def look_at_pointer(model: NamedModel) -> tuple[str, int] | None:
    """Return where a link or a file points now; None for what is no pointer, or broken."""
    if isinstance(model, Ranker):
        return None
    path = Path(model)
    if os.path.isdir(path) and not path.is_symlink():
        return None
    try:
        folder = follow_pointer(path).resolve(strict=True)
        return str(folder), folder.stat().st_ino
    except (SeqRecError, OSError):
        return None


def _get_fingerprint(served: Served) -> str:
    """Return the fingerprint of a model's item vectors; for a baseline, of its catalog."""
    if isinstance(served.ranker, Recommender):
        return served.ranker.fingerprint
    joined = "\n".join(served.table.item_ids)
    return hashlib.sha256(joined.encode()).hexdigest()


def _get_version(served: Served, decoder: Decoder | None) -> str:
    """Return a hash of the files of a model folder, or of a ranker's name and vectors.

    The files of the language model that reads requests are added to it.
    """
    digest, ranker = hashlib.sha256(), served.ranker
    if decoder is not None:
        digest.update(decoder.fingerprint.encode())
    folder = ranker.folder if isinstance(ranker, Recommender) else None
    if folder is None:
        digest.update(f"{ranker.name} {_get_fingerprint(served)}".encode())
        return digest.hexdigest()[:VERSION_LETTERS]
    for file in sorted(folder.iterdir()):
        if file.is_file():
            digest.update(file.name.encode())
            with file.open("rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()[:VERSION_LETTERS]
