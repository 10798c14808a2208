"""``seqrec prepare --append``: the rows of another log join a prepared folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seqrec.config.defaults import PREPARE
from seqrec.data.log.columns import NO_TIME, Columns
from seqrec.data.log.item_file import add_items, read_item_file
from seqrec.data.log.normalization import ReadOptions
from seqrec.data.log.sources import Log, read_source
from seqrec.data.preparation.appending import append_interactions
from seqrec.data.preparation.filters import Filters
from seqrec.data.preparation.writing_appended import write_appended
from seqrec.data.prepared import PreparedData
from seqrec.data.splits import parse_split
from seqrec.errors import SeqRecError
from seqrec.outputs import locate_output, new_folder, refuse_existing, reserve_output


def append_log(
    source: Any, to: Path, *, columns: Columns, format: str | None, items: Any
) -> dict[str, Any]:
    """Read a log with the options of a prepared folder, and replace the folder by both.

    Args:
        source: as in ``prepare``.
        to: the prepared folder.
        columns: names of columns that differ from those of the folder's log.
        format: as in ``prepare``.
        items: as in ``prepare``; features of the new items.

    Returns:
        The folder and its manifest.

    Raises:
        SeqRecError: a mistake in source or folder, or filters that depend on rows that the folder
            no longer has.
    """
    to = locate_output(to)
    refuse_existing(to, True, (source, items))
    with reserve_output(to):
        prepared = PreparedData.open(to)
        options = prepared.manifest["options"]
        filters = Filters(
            options["min_rating"],
            options["min_user"],
            options["min_item"],
            options["repeats"],
            options["cold_share"],
        )
        _check_filters(to, filters)
        reading = ReadOptions(
            options.get("time_format"),
            options.get("missing_ids", ReadOptions.missing_ids),
            options.get("verbatim_ids", ReadOptions.verbatim_ids),
        )
        log = _read(source, prepared, columns, format)
        _refuse_same_files(prepared, list(log.files.values())[: len(log.parts)], log.name)
        if items is not None:
            features = read_item_file(items, log.columns.item, verbatim_ids=reading.verbatim_ids)
            log = add_items(log, features)
        split = parse_split(options["split_by"], options["targets"])
        interactions = append_interactions(prepared, log, filters, split, reading)
        is_path = isinstance(source, str | Path)
        name = str(source) if is_path else log.name if log.parts else "a frame"
        with new_folder(to, overwrite=True) as folder:
            manifest = write_appended(
                folder, prepared, interactions, source=name, log=log, split_by=split
            )
        return {"out": str(to), **manifest}


def _read(source: Any, prepared: PreparedData, columns: Columns, format: str | None) -> Log:
    """Read a log with the columns of the folder's own, but for those that are named.

    Raises:
        SeqRecError: the log cannot be read, or has none of that name.
    """
    recorded = {"time": NO_TIME, **prepared.manifest["columns"]}
    requested = Columns(**{**recorded, **columns.by_role()})
    try:
        where = prepared.manifest["options"].get("where")
        return read_source(source, columns=requested, format=format, where=where)
    except SeqRecError as error:
        for role, name in recorded.items():
            if f"--{role} {name}: no such column" in str(error):
                raise SeqRecError(
                    f"{error}; {prepared.path} has its {role} from a column of that name: name the "
                    f"one of this log with --{role}"
                ) from error
        raise


def refuse_options(to: str | Path, given: Mapping[str, Any]) -> None:
    """Refuse options that the folder has already settled, unless they have their defaults."""
    defaults = {
        **dict.fromkeys(given, None),
        **dict.fromkeys(("verbatim_ids", "explain", "overwrite"), False),
        **{name: value for name, value in PREPARE._asdict().items() if name in given},
    }
    for name, value in given.items():
        if value != defaults[name]:
            option = f"--{name.replace('_', '-')}"
            raise SeqRecError(
                f"{option}: the options of {to} hold for what is appended; leave it out"
            )


def _check_filters(to: Path, filters: Filters) -> None:
    """Refuse filters whose effect on all rows cannot be told from the rows that they left."""
    if filters.has_core:
        raise SeqRecError(
            f"{to}: prepared with --min-user {filters.min_user} --min-item {filters.min_item}, "
            "which may keep rows of an earlier log that it has dropped; prepare both logs in one"
        )
    if filters.cold_share:
        raise SeqRecError(
            f"{to}: prepared with --cold-share {filters.cold_share:g}, which draws among all items "
            "of a log; prepare both logs in one"
        )


def _refuse_same_files(prepared: PreparedData, digests: list[str], name: str) -> None:
    """Refuse a log that the folder was made from."""
    parts = [prepared.manifest, *prepared.manifest.get("appended", [])]
    known = {digest for part in parts for digest in part["sources"].values()}
    if not known.isdisjoint(digests):
        raise SeqRecError(f"{name}: is already in {prepared.path}; name the log that follows it")
