"""The manifest of a prepared folder: counts, options and the checksum of every file."""

import hashlib
import json
from pathlib import Path
from typing import Any

import polars as pl

from seqrec.data.checksums import file_sha256
from seqrec.data.prepared_schema import check_entries
from seqrec.errors import SeqRecError, quote, refuse_unreadable
from seqrec.files import read_json_object

FORMAT_VERSION = 2
MANIFEST_FILE = "manifest.json"
INTERACTIONS_FILE = "interactions.parquet"
ITEMS_FILE = "items.parquet"
USERS_FILE = "users.parquet"
TABLES = (INTERACTIONS_FILE, ITEMS_FILE, USERS_FILE)


def manifest_sha256(manifest: dict[str, Any]) -> str:
    """Return the checksum of a manifest's entries, except the entry of the checksum itself."""
    entries = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()


def read_manifest(path: Path) -> dict[str, Any]:
    """Return the manifest of a prepared folder.

    Raises:
        SeqRecError: a missing, incomplete or edited manifest, or one of another format version.
    """
    file = path / MANIFEST_FILE
    fix = "make it with seqrec prepare"
    if not file.is_file():
        raise SeqRecError(f"{path}: not a prepared folder (no {MANIFEST_FILE}); {fix}")
    try:
        manifest = read_json_object(file, fix)
        version = manifest["version"]
    except (SeqRecError, KeyError) as error:
        raise SeqRecError(f"{file}: not the manifest of a prepared folder; {fix}") from error
    if version != FORMAT_VERSION:
        raise SeqRecError(
            f"{path}: prepared in format {quote(version)}, this seqrec reads {FORMAT_VERSION}; "
            "prepare again"
        )
    entries = {"files", "options", "counts", "catalog_fingerprint"}
    files = manifest.get("files")
    is_complete = (
        entries <= manifest.keys()
        and isinstance(files, dict)
        and all(
            isinstance(files.get(name), dict) and {"rows", "sha256"} <= files[name].keys()
            for name in TABLES
        )
    )
    if not is_complete:
        raise SeqRecError(f"{file}: entries are missing; {fix}")
    if manifest.get("sha256") != manifest_sha256(manifest):
        raise SeqRecError(f"{file}: was edited since it was written; prepare again")
    check_entries(manifest, TABLES, file)
    return manifest


def check_table_file(file: Path, expected: dict[str, Any]) -> None:
    """Refuse a table that is missing, or differs from its checksum or row count."""
    try:
        actual = file_sha256(file)
    except FileNotFoundError as error:
        raise SeqRecError(f"{file}: is missing from the prepared folder; prepare again") from error
    except OSError as error:
        raise SeqRecError(f"{file}: cannot be read: {error.strerror or error}") from error
    if actual != expected["sha256"]:
        raise SeqRecError(f"{file}: was edited or cut short since it was prepared; prepare again")
    with refuse_unreadable(str(file), "prepare again"):
        num_rows = pl.scan_parquet(file, glob=False).select(pl.len()).collect().item()
    if num_rows != expected["rows"]:
        raise SeqRecError(f"{file}: has {num_rows} rows, the manifest {expected['rows']}")
