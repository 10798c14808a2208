"""A folder whose tables and manifest agree with each other but that prepare never wrote."""

import json
import re

import polars as pl
import pytest

from seqrec.data.checksums import file_sha256
from seqrec.data.manifest import manifest_sha256
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError

LOG = pl.DataFrame(
    {"user": ["a", "a", "a", "b", "b"], "item": list("xyzxy"), "time": [1, 2, 3, 4, 5]}
)


@pytest.fixture
def folder(prepared):
    return prepared(LOG).path


def rewrite_manifest(folder, change):
    """Change the manifest and sign it, as a forger would."""
    file = folder / "manifest.json"
    manifest = json.loads(file.read_text())
    change(manifest)
    manifest["sha256"] = manifest_sha256(manifest)
    file.write_text(json.dumps(manifest))


def rewrite_table(folder, name, change):
    """Change a table, and the manifest's checksum of it."""
    table = change(pl.read_parquet(folder / name))
    table.write_parquet(folder / name)
    entry = {"rows": len(table), "sha256": file_sha256(folder / name)}
    rewrite_manifest(folder, lambda manifest: manifest["files"].update({name: entry}))


def refused(folder):
    with pytest.raises(SeqRecError) as mistake:
        PreparedData.open(folder)
    line = str(mistake.value)
    assert "\n" not in line and line.endswith("prepare again") and str(folder) in line
    return line


def test_a_forged_copy_of_a_right_folder_is_right(folder):
    rewrite_table(folder, "interactions.parquet", lambda table: table)
    assert PreparedData.open(folder).num_items == 3


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("source", 3),
        ("ordered_by", None),
        ("catalog_fingerprint", ["x"]),
        ("counts", [1, 2]),
        ("counts", {"rows": "many"}),
        ("counts", {"rows": True}),
        ("counts", {"rows": 1 << 62}),
        ("options.split_by", "by-moon"),
        ("options.split_by", {}),
        ("options.min_user", "2"),
        ("options.min_rating", 1e300),
        ("options.cold_share", "a tenth"),
        ("options.repeats", 1),
        ("options.targets", "next"),
        ("options", []),
    ],
)
def test_an_entry_of_another_kind_is_refused_by_name(folder, entry, value):
    def change(manifest):
        *blocks, name = entry.split(".")
        for part in blocks:
            manifest = manifest[part]
        manifest[name] = value

    rewrite_manifest(folder, change)
    assert entry.split(".")[0] in refused(folder)


@pytest.mark.parametrize("option", ["min_user", "min_rating", "cold_share", "repeats"])
def test_a_missing_option_is_refused_by_name(folder, option):
    rewrite_manifest(folder, lambda manifest: manifest["options"].pop(option))
    assert f"options.{option} is missing" in refused(folder)


@pytest.mark.parametrize(
    ("key", "value"), [("rows", -1), ("rows", "5"), ("rows", 5.0), ("sha256", 0)]
)
def test_an_entry_of_a_table_of_another_kind_is_refused(folder, key, value):
    rewrite_manifest(
        folder, lambda manifest: manifest["files"]["items.parquet"].update({key: value})
    )
    assert f"files.items.parquet.{key} is {value!r}" in refused(folder)


TABLES = {
    "column user is missing": ("interactions", lambda log: log.drop("user")),
    "column item holds String": ("interactions", lambda log: log.cast({"item": pl.String})),
    "column split holds Float64": ("interactions", lambda log: log.cast({"split": pl.Float64})),
    "is not sorted by user": ("interactions", lambda log: log.reverse()),
    "item: out of range": ("interactions", lambda log: log.with_columns(item=pl.lit(3, pl.UInt32))),
    "user: out of range": (
        "interactions",
        lambda log: log.with_columns(user=pl.col("user").cast(pl.Int64) - 1),
    ),
    "split: out of range": (
        "interactions",
        lambda log: log.with_columns(split=pl.lit(None, pl.UInt8)),
    ),
    "column item_id holds Int64": (
        "items",
        lambda items: items.with_columns(item_id=pl.int_range(pl.len())),
    ),
    "the items 0, 1, 2, ... with an id": ("items", lambda items: items.reverse()),
    "are not the items 0, 1, 2": (
        "items",
        lambda items: items.with_columns(item_id=pl.lit("same")),
    ),
    "are not the users 0, 1, 2": (
        "users",
        lambda users: users.with_columns(user_id=pl.lit(None, pl.String)),
    ),
    "the users 0, 1, 2, ... with": (
        "users",
        lambda users: users.with_columns(user=pl.lit(None, pl.UInt32)),
    ),
}


@pytest.mark.parametrize(("complaint", "table"), TABLES.items())
def test_a_table_that_readers_cannot_rely_on_is_refused(folder, complaint, table):
    name, change = table
    rewrite_table(folder, f"{name}.parquet", change)
    line = refused(folder)
    assert f"{name}.parquet" in line and re.search(re.escape(complaint), line)
