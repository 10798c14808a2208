"""Write the prepared folder: interactions, items, users and the manifest."""

import json
from pathlib import Path
from typing import Any

import polars as pl

from seqrec.data.catalog import catalog_fingerprint
from seqrec.data.checksums import file_sha256
from seqrec.data.histories import write_blocks
from seqrec.data.log.normalization import ReadOptions
from seqrec.data.log.sources import Log
from seqrec.data.manifest import (
    FORMAT_VERSION,
    INTERACTIONS_FILE,
    ITEMS_FILE,
    MANIFEST_FILE,
    USERS_FILE,
    manifest_sha256,
)
from seqrec.data.parquet import write_parquet
from seqrec.data.preparation.filters import Filters
from seqrec.data.preparation.interactions import Catalog, Interactions
from seqrec.data.preparation.understanding import describe
from seqrec.data.splits import SplitBy


def write_prepared(
    folder: Path,
    interactions: Interactions,
    *,
    source: str,
    log: Log,
    filters: Filters,
    split_by: SplitBy,
    reading: ReadOptions | None = None,
    catalog: Catalog = "watched",
) -> dict[str, Any]:
    """Write a prepared folder.

    Args:
        folder: an empty folder.
        interactions: the result of ``prepare_interactions``.
        source: the log's name.
        log: the source of item and user attributes and of checksums.
        filters: the filters that were applied.
        split_by: the split that was applied.
        reading: how times and ids were read.
        catalog: the value of ``--catalog``.

    Returns:
        The manifest.

    Raises:
        OSError: the folder cannot be written.
    """
    reading = reading or ReadOptions()
    tables = {
        INTERACTIONS_FILE: interactions.table,
        ITEMS_FILE: build_rows("item", interactions.item_ids, log.items),
        USERS_FILE: build_rows("user", interactions.user_ids, log.users),
    }
    for name, table in tables.items():
        write = write_blocks if name == INTERACTIONS_FILE else write_parquet
        write(table, folder / name)
    manifest = {
        "version": FORMAT_VERSION,
        "source": source,
        "sources": log.files,
        "columns": log.columns.by_role(),
        "renamed_columns": interactions.renamed,
        "time_unit": interactions.time_unit,
        "ordered_by": interactions.ordered_by,
        "options": {
            "split_by": split_by.text,
            "targets": split_by.targets,
            "order": log.columns.order,
            "where": log.condition,
            "min_rating": filters.min_rating,
            "min_user": filters.min_user,
            "min_item": filters.min_item,
            "repeats": filters.repeats,
            "cold_share": filters.cold_share,
            "catalog": catalog,
            "time_format": reading.time_format,
            "missing_ids": reading.missing_ids,
            "verbatim_ids": reading.verbatim_ids,
        },
        "understood": describe(log, interactions, split_by),
        "split_points": interactions.cuts,
        "counts": interactions.counts,
        "catalog_fingerprint": catalog_fingerprint(interactions.item_ids.to_list()),
        "files": {
            name: {"rows": len(table), "sha256": file_sha256(folder / name)}
            for name, table in tables.items()
        },
    }
    return write_manifest(folder, manifest)


def write_manifest(folder: Path, entries: dict[str, Any]) -> dict[str, Any]:
    """Write the manifest of a prepared folder, with its checksum, and return it."""
    manifest = {**entries, "sha256": manifest_sha256(entries)}
    text = json.dumps(manifest, indent=2) + "\n"
    (folder / MANIFEST_FILE).write_text(text, encoding="utf-8")
    return manifest


def build_rows(role: str, ids: pl.Series, known: pl.DataFrame | None) -> pl.DataFrame:
    """Return the number, id and known attributes of every user or item."""
    id_name = f"{role}_id"
    table = pl.DataFrame({role: pl.int_range(len(ids), dtype=pl.UInt32, eager=True), id_name: ids})
    if known is not None:
        known = known.with_columns(pl.col(id_name).cast(pl.String)).unique(id_name, keep="first")
        if role in known.columns:
            free = f"{role}_in_log"
            while free in known.columns:
                free += "_"
            known = known.rename({role: free})
        table = table.join(known, on=id_name, how="left", maintain_order="left")
    if role == "user":
        return table
    for name, dtype in (("title", pl.String()), ("genres", pl.List(pl.String))):
        if name not in table.columns:
            table = table.with_columns(pl.lit(None, dtype).alias(name))
    first = ["item", "item_id", "title", "genres"]
    return table.select(*first, pl.exclude(first))
