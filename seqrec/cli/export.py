"""``seqrec export``."""

import sys
from pathlib import Path
from typing import Annotated

import typer

import seqrec
from seqrec.cli.options import Json, Model, Overwrite
from seqrec.cli.output import print_result
from seqrec.cli.values import parse_feature
from seqrec.config.defaults import EXPORT

Kind = Annotated[
    str,
    typer.Option(
        metavar="KIND|STORE",
        help="Files: parquet, ndjson, numpy, faiss, faiss-flat (the exact index alone) or onnx. "
        "Stores: lancedb, pgvector, qdrant, milvus, chroma or duckdb with --url, or an address "
        "such as postgresql://host/db.",
    ),
]
ExportFolder = Annotated[Path | None, typer.Option(help="Folder to write, for files.")]
StoreUrl = Annotated[
    str | None, typer.Option(metavar="URL|PATH", help="Address of the store, or its path.")
]
StoreName = Annotated[str, typer.Option(help="Name of the table or collection in the store.")]
Payload = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMNS",
        help="Item columns that rows carry besides title, genres and counts: year,director.",
    ),
]
Columns = Annotated[
    str | None,
    typer.Option(
        metavar="NAME=NEW,...", help="New names of columns in files, such as vector=values."
    ),
]
Keep = Annotated[int, typer.Option(help="Versions that the store keeps, with the live one.")]
AnnIndex = Annotated[
    str | None,
    typer.Option(
        "--ann",
        metavar="KIND[:NAME=N,...]",
        help="Approximate index of the store: hnsw or ivf, such as hnsw:search_breadth=400; "
        "default: exact search.",
    ),
]
Changed = Annotated[
    bool,
    typer.Option(
        "--changed", help="Write only rows that differ from the live version; remove those gone."
    ),
]
ExportUsers = Annotated[
    Path | None,
    typer.Option(
        help="Prepared folder: files hold its users' embeddings, too; a store's recall is measured "
        "on its users."
    ),
]


def export(
    model: Model,
    to: Kind,
    out: ExportFolder = None,
    url: StoreUrl = None,
    name: StoreName = "items",
    data: ExportUsers = None,
    payload: Payload = None,
    columns: Columns = None,
    keep: Keep = EXPORT.keep,
    ann: AnnIndex = None,
    changed: Changed = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Export embeddings to files, or publish the items in a vector database."""
    from seqrec.reports.verb_lines import export_lines

    result = seqrec.export(
        model,
        to=to,
        out=out,
        url=url,
        name=name,
        data=data,
        payload=payload.split(",") if payload else (),
        columns=dict(parse_feature(one, "--columns") for one in columns.split(","))
        if columns
        else None,
        keep=keep,
        ann=ann,
        changed=changed,
        overwrite=overwrite,
        progress=lambda line: print(f"seqrec: {line}", file=sys.stderr, flush=True),
    )
    print_result(result, as_json, *export_lines(result))
