"""``seqrec prepare``: a log becomes a prepared folder."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from seqrec.arguments import check_arguments
from seqrec.config.defaults import PREPARE
from seqrec.data.known_datasets.copies import obtain_dataset
from seqrec.data.known_datasets.descriptions import list_known_datasets
from seqrec.data.log.columns import Columns
from seqrec.data.log.normalization import MissingIds, ReadOptions
from seqrec.data.log.sources import read_source
from seqrec.data.preparation.filters import Filters, Repeats
from seqrec.data.preparation.interactions import Catalog
from seqrec.data.splits import parse_splits
from seqrec.data.windows import is_windows
from seqrec.errors import SeqRecError
from seqrec.jobs.append import append_log, refuse_options
from seqrec.jobs.preparation import Preparation
from seqrec.outputs import locate_output, new_folder, refuse_existing, reserve_output

CACHE = Path("data") / "raw"


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@check_arguments
def prepare(
    source: Any,
    *,
    out: str | Path | None = None,
    split_by: str = PREPARE.split_by,
    targets: str = PREPARE.targets,
    user: str | None = None,
    item: str | None = None,
    time: str | None = None,
    rating: str | None = None,
    order: str | None = None,
    format: str | None = None,
    where: str | None = None,
    time_format: str | None = None,
    missing_ids: MissingIds = PREPARE.missing_ids,
    verbatim_ids: bool = False,
    min_rating: float | None = None,
    min_user: int = PREPARE.min_user,
    min_item: int = PREPARE.min_item,
    repeats: Repeats = PREPARE.repeats,
    cold_share: float = PREPARE.cold_share,
    items: Any = None,
    catalog: Catalog = PREPARE.catalog,
    explain: bool = False,
    append: bool = False,
    to: str | Path | None = None,
    overwrite: bool = False,
    say: Callable[[str], None] = _to_stderr,
) -> dict[str, Any]:
    """Read a log, filter and split it, and write it as Parquet files with a manifest.

    Args:
        source: a known dataset's name; a file, a folder of one log's files, a pattern such as
            ``logs/*.csv``, a URL, or a list of these; or a polars, pandas or Arrow frame.
        out: the prepared folder; not needed with ``explain``.
        split_by: ``leave-one-out``, ``last-n:N``, ``global-time:Q``,
            ``date:[VALIDATION,]TEST[,END]``, ``none``, or ``windows:START,LENGTH,COUNT`` for
            several ``date`` splits, each in a folder ``window-N`` of ``out``.
        targets: test targets of a split by time: each user's ``last`` interaction, or all
            ``successive`` ones after the cut.
        user: column of the user; guessed from names and values if None, as the next three.
        item: column of the item.
        time: column of the time; ``none`` if no column is.
        rating: column of the rating.
        order: column with the order of each user's interactions within equal times, or of all
            where there are no times.
        format: ``csv``, ``parquet``, ``arrow``, ``ndjson`` or ``sequences``; None: guessed from
            the file.
        where: an SQL expression of polars that is true for the rows to read, such as
            ``event = 'watch'``; it applies before everything else.
        time_format: ``day-first``, ``month-first``, ``spreadsheet-days``, a format for
            ``strptime``, or the unit ``s``, ``ms``, ``us`` or ``ns``; None: as the values show.
        missing_ids: ``refuse`` a log with rows that lack a user or an item, or ``drop`` them.
        verbatim_ids: keep spaces around ids, floats such as ``1000.0`` and words for nothing such
            as ``NULL``, which otherwise are removed, become ``1000``, and count as missing.
        min_rating: drop rows with a lower rating.
        min_user: drop users with fewer interactions (k-core, with ``min_item``).
        min_item: drop items with fewer interactions (k-core, with ``min_user``).
        repeats: ``keep``; ``drop-duplicates``: drop rows that equal an earlier one in every
            column; or ``drop-consecutive``: merge consecutive interactions with one item.
        cold_share: share of the items kept out of training and validation, to test cold start.
        items: a file (CSV with a header, Parquet, NDJSON) or frame with features of the items, in
            columns of any name; it is merged with item files beside the log.
        catalog: ``watched``: items with interactions after filtering; ``all``: also items that
            only an item file has, for models with content.
        append: add the rows to the prepared folder ``to``, with its own options; only columns,
            ``format`` and ``items`` may be named beside it.
        to: the prepared folder of ``append``.
        explain: write nothing; return how the log was understood and five users' histories.
        overwrite: replace ``out``.
        say: called with the line that names a known dataset's origin.

    Returns:
        The folder and its manifest; with ``explain`` the entries ``understood`` and ``counts`` of
        the manifest, and ``preview``.

    Raises:
        SeqRecError: a mistake in source, options or output.
    """
    requested = Columns(user, item, time, rating, order)
    if append != (to is not None):
        raise SeqRecError("--append, --to: name both, as in seqrec prepare NEW --append --to DIR")
    if to is not None:
        given = {
            "out": out,
            "split_by": split_by,
            "targets": targets,
            "time_format": time_format,
            "missing_ids": missing_ids,
            "where": where,
            "verbatim_ids": verbatim_ids,
            "min_rating": min_rating,
            "min_user": min_user,
            "min_item": min_item,
            "repeats": repeats,
            "cold_share": cold_share,
            "catalog": catalog,
            "explain": explain,
            "overwrite": overwrite,
        }
        refuse_options(to, given)
        return append_log(source, Path(to), columns=requested, format=format, items=items)
    splits = parse_splits(split_by, targets)
    filters = Filters(min_rating, min_user, min_item, repeats, cold_share)
    if catalog not in get_args(Catalog):
        raise SeqRecError(f"--catalog {catalog}: choose one of {', '.join(get_args(Catalog))}")
    if out is None and not explain:
        raise SeqRecError("--out: name the folder to write, or add --explain to write nothing")
    if out is not None and not explain:
        out = locate_output(out)
        refuse_existing(out, overwrite, (source, items))
    reading = ReadOptions(time_format, missing_ids, verbatim_ids)
    name = str(source) if isinstance(source, str | Path) else "a frame"
    if name in {dataset.name for dataset in list_known_datasets()} and not Path(name).exists():
        source = obtain_dataset(name, CACHE, say)
    with reserve_output(None if explain or out is None else Path(out)):
        log = read_source(source, columns=requested, format=format, where=where)
        if log.parts and not isinstance(source, str | Path):
            name = log.name
        preparation = Preparation.open(name, log, items, filters, reading, catalog)
        if explain or out is None:
            return preparation.explain(splits[0])
        with new_folder(Path(out), overwrite=overwrite) as folder:
            if is_windows(split_by):
                return {"out": str(out), "windows": preparation.write_windows(folder, out, splits)}
            return {"out": str(out), **preparation.write(folder, splits[0])}
