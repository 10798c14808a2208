"""Write a prepared folder with appended rows; tables without a new row are copied as they are."""

import shutil
from pathlib import Path
from typing import Any

import polars as pl

from seqrec.data.catalog import catalog_fingerprint
from seqrec.data.checksums import file_sha256
from seqrec.data.histories import write_blocks
from seqrec.data.log.sources import Log
from seqrec.data.manifest import INTERACTIONS_FILE, ITEMS_FILE, USERS_FILE
from seqrec.data.parquet import write_parquet
from seqrec.data.preparation.interactions import Interactions
from seqrec.data.preparation.understanding import describe
from seqrec.data.preparation.writing import build_rows, write_manifest
from seqrec.data.prepared import PreparedData
from seqrec.data.splits import SplitBy
from seqrec.errors import SeqRecError


def write_appended(
    folder: Path,
    prepared: PreparedData,
    interactions: Interactions,
    *,
    source: str,
    log: Log,
    split_by: SplitBy,
) -> dict[str, Any]:
    """Write the folder that replaces a prepared one, and return its manifest.

    Args:
        folder: an empty folder.
        prepared: the folder as it was.
        interactions: the result of ``append_interactions``.
        source: name of the appended log.
        log: the appended log.
        split_by: the split of the folder.

    Raises:
        OSError: the folder cannot be written.
        SeqRecError: features of new items or users that do not fit those of the folder.
    """
    write_blocks(interactions.table, folder / INTERACTIONS_FILE)
    num_new = {}
    for role, file, ids, known, old in (
        ("item", ITEMS_FILE, interactions.item_ids, log.items, prepared.items()),
        ("user", USERS_FILE, interactions.user_ids, log.users, prepared.users()),
    ):
        num_new[f"new_{role}s"] = len(ids) - len(old)
        if len(ids) == len(old):
            shutil.copyfile(prepared.path / file, folder / file)
        else:
            new = build_rows(role, ids[len(old) :], known)
            write_parquet(_add_rows(role, old, new, log), folder / file)
    before = prepared.manifest
    sizes = {
        INTERACTIONS_FILE: len(interactions.table),
        ITEMS_FILE: len(interactions.item_ids),
        USERS_FILE: len(interactions.user_ids),
    }
    part = {
        "source": source,
        "sources": log.files,
        "new_rows": len(interactions.table) - before["files"][INTERACTIONS_FILE]["rows"],
        **num_new,
    }
    entries = {key: value for key, value in before.items() if key != "sha256"}
    return write_manifest(
        folder,
        {
            **entries,
            "time_unit": interactions.time_unit or before["time_unit"],
            "ordered_by": interactions.ordered_by,
            "understood": describe(log, interactions, split_by),
            "split_points": interactions.cuts,
            "counts": interactions.counts,
            "catalog_fingerprint": catalog_fingerprint(interactions.item_ids.to_list()),
            "appended": [*before.get("appended", []), part],
            "files": {
                name: {"rows": rows, "sha256": file_sha256(folder / name)}
                for name, rows in sizes.items()
            },
        },
    )


def _add_rows(role: str, old: pl.DataFrame, new: pl.DataFrame, log: Log) -> pl.DataFrame:
    """Return a table with new rows at its end, numbered after the old ones."""
    new = new.with_columns((pl.col(role) + len(old)).cast(old[role].dtype))
    try:
        return pl.concat([old, new], how="diagonal_relaxed")
    except pl.exceptions.PolarsError as error:
        reason = " ".join(str(error).split())
        raise SeqRecError(
            f"{log.name}: features of new {role}s have other types than those of the folder: "
            f"{reason}"
        ) from error
