"""Folders of FAISS indexes, tied to their bytes, catalog and model by checksums."""

import hashlib
import json
import os
from pathlib import Path

import faiss

from seqrec.errors import SeqRecError, quote, refuse_unreadable
from seqrec.files import read_json_object
from seqrec.retrieval.index import KINDS, ItemIndex
from seqrec.retrieval.index_bytes import read_bytes

FIX = "export the index again"


def save_index(
    index: ItemIndex, folder: Path, *, catalog_fingerprint: str, model_fingerprint: str
) -> None:
    """Write ``index.faiss`` and ``index.json`` into an existing folder."""
    content = faiss.serialize_index(index.faiss_index).data
    (folder / "index.faiss").write_bytes(content)
    description = {
        "kind": index.kind,
        "num_items": index.num_items,
        "width": index.width,
        "metric": "inner_product",
        "settings": index.settings,
        "catalog_fingerprint": catalog_fingerprint,
        "model_fingerprint": model_fingerprint,
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    (folder / "index.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")


def load_index(folder: Path, *, catalog_fingerprint: str, model_fingerprint: str) -> ItemIndex:
    """Load an index of ``save_index``; check that it is intact and of this catalog and model."""
    file = folder / "index.json"
    if not os.path.isdir(folder):  # also of a name that is too long
        raise SeqRecError(f"{folder}: not the folder of an index; name .../items/flat")
    for name in ("index.json", "index.faiss"):
        if not (folder / name).is_file():
            raise SeqRecError(f"{folder / name} is missing: {FIX}")
    damaged = SeqRecError(f"{file} is damaged: {FIX}")
    try:
        description = read_json_object(file, FIX)
        kind, sha256 = description["kind"], description["sha256"]
        num_items, width = description["num_items"], description["width"]
        fingerprints = description["catalog_fingerprint"], description["model_fingerprint"]
    except (SeqRecError, KeyError) as error:
        raise damaged from error
    if kind not in KINDS or any(type(one) is not int for one in (num_items, width)):
        raise damaged
    for name, stored, expected in zip(
        ("catalog", "model"), fingerprints, (catalog_fingerprint, model_fingerprint), strict=True
    ):
        if stored != expected:
            raise SeqRecError(
                f"{folder} indexes another {name} ({quote(stored)}, not {expected!r}): {FIX}"
            )
    file = folder / "index.faiss"
    with refuse_unreadable(str(file), FIX):
        content = file.read_bytes()
        if hashlib.sha256(content).hexdigest() != sha256:
            raise SeqRecError(f"{file} is damaged: {FIX}")
        return ItemIndex(kind, read_bytes(content, kind, num_items, width))
