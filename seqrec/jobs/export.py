"""``seqrec export``: item and user embeddings, in files or in a vector database."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from seqrec.arguments import check_arguments
from seqrec.builders.named_models import NamedModel, open_recommender
from seqrec.config.defaults import EXPORT
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.jobs.export_files import KINDS as FILE_KINDS
from seqrec.jobs.export_files import ROW_KINDS, export_files
from seqrec.jobs.export_onnx import export_onnx
from seqrec.jobs.export_stores import StoreOptions, export_to_store
from seqrec.outputs import locate_output, refuse_existing, reserve_output
from seqrec.retrieval.stores.ann import Ann
from seqrec.retrieval.stores.urls import (
    DEFAULT_NAME,
    Address,
    build_address,
    is_store,
    mask_url,
    parse_address,
)
from seqrec.retrieval.stores.urls import KINDS as STORE_KINDS

KINDS = (*FILE_KINDS, "onnx")


@check_arguments
def export(
    model: NamedModel,
    *,
    to: str,
    out: str | Path | None = None,
    url: str | None = None,
    name: str = DEFAULT_NAME,
    data: str | Path | None = None,
    payload: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
    keep: int = EXPORT.keep,
    ann: str | None = None,
    changed: bool = False,
    overwrite: bool = False,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Write the vectors of all items, to files or to a vector database.

    A store is written as a publication: a new version beside the live one, read back and
    compared, its recall measured, and only then made the live one at once. An interrupted export
    leaves the live version as it was, and is continued by the next one.

    A user's vector encodes the whole history. Its product with an item's vector is the item's
    score, except for the transition prior; ``scores_are_products`` is true without one. With
    ``onnx`` the decoder itself: a model folder that ONNX Runtime computes, also without seqrec.

    Args:
        model: run or model folder.
        to: files: ``parquet``, ``ndjson``, ``numpy``, or ``faiss`` (indexes of the items, one of
            each kind, and the users' vectors as NumPy arrays), ``faiss-flat`` (the exact index
            alone, which is built at once), ``onnx`` (the decoder as a graph, with tables); or a
            store: ``lancedb``, ``pgvector``, ``qdrant``, ``milvus``,
            ``chroma``, ``duckdb``, or its address as ``KIND:URL`` or ``postgresql://...``.
        out: folder, for files.
        url: address of the store: a path, or as its client spells it.
        name: name of the table or collection in the store.
        data: prepared folder whose users are also exported to files, and whose users' queries
            the recall in a store is measured on; with ``onnx``: on whose histories the graph is
            compared with the model, drawn ones if absent.
        payload: columns of the items that rows carry, besides title, genres and counts.
        columns: names of columns in Parquet and NDJSON, by their usual names.
        keep: number of versions that a store keeps, with the live one.
        ann: approximate index of a store: ``hnsw`` or ``ivf``, with settings such as
            ``hnsw:search_breadth=400``; None: exact search.
        changed: write only rows that differ from the live version, and remove those that left.
        overwrite: replace ``out``.
        progress: gets a line from time to time.

    Returns:
        The manifest, which is also written with files; for a store the version, the rows that
        were written, the recall, and the versions that were dropped.

    Raises:
        SeqRecError: a mistake in format, model, data, output or store.
    """
    if is_store(to) or to in STORE_KINDS:
        if out is not None or columns:
            raise SeqRecError("--out and --columns are for files; name a store by --url")
        if keep < 1:
            raise SeqRecError(f"--keep {keep}: at least 1, the live version")
        address = _get_address(to, url, name)
        options = StoreOptions(payload, keep, None if ann is None else Ann.parse(ann), changed)
        prepared = PreparedData.open(data) if data is not None else None
        recommender = open_recommender(model, prepared)
        return export_to_store(
            recommender, prepared, address, options, progress or (lambda line: None)
        )
    if to not in KINDS:
        raise SeqRecError(
            f"--to {mask_url(to)}: choose from {', '.join(KINDS)}, or a store: "
            f"{', '.join(STORE_KINDS)}"
        )
    if out is None or url is not None or ann is not None or changed:
        raise SeqRecError(f"--to {to}: needs --out FOLDER; --url, --ann, --changed are for stores")
    if (payload or columns) and to not in ROW_KINDS:
        raise SeqRecError(f"--payload and --columns are for {', '.join(ROW_KINDS)} and stores")
    out = locate_output(out)
    refuse_existing(out, overwrite, (model, data))
    with reserve_output(out):
        prepared = PreparedData.open(data) if data is not None else None
        if to == "onnx":
            return export_onnx(open_recommender(model), prepared, out, overwrite)
        recommender = open_recommender(model, prepared)
        return export_files(recommender, prepared, to, out, payload, columns, overwrite)


def _get_address(to: str, url: str | None, name: str) -> Address:
    """Return the address of a store, from its kind and URL or from both in one."""
    if to in STORE_KINDS:
        if not url:
            raise SeqRecError(f"--to {to}: needs --url, its path or address")
        return build_address(to, url, name)
    if url is not None:
        raise SeqRecError(f"--to {mask_url(to)}: holds the address; leave out --url")
    address = parse_address(to, "--to")
    if address.name != DEFAULT_NAME:
        return address
    return build_address(address.kind, address.url, name)
