"""``seqrec prepare``: a log becomes a prepared folder."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from seqrec.config.defaults import PREPARE
from seqrec.data.filters import Filters, Repeats
from seqrec.data.interactions import Catalog, prepare_interactions
from seqrec.data.log.columns import Columns
from seqrec.data.log.item_file import check_tells, read_item_file, told_by
from seqrec.data.log.known_datasets import list_cards, obtain
from seqrec.data.log.sources import read_source
from seqrec.data.prepared import write_prepared
from seqrec.data.splits import parse_split
from seqrec.errors import SeqRecError
from seqrec.outputs import new_folder, refuse_existing

CACHE = Path("data") / "raw"


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def prepare(
    source: Any,
    *,
    out: str | Path,
    split_by: str = PREPARE.split_by,
    targets: str = PREPARE.targets,
    user: str | None = None,
    item: str | None = None,
    time: str | None = None,
    rating: str | None = None,
    order: str | None = None,
    format: str | None = None,
    min_rating: float | None = None,
    min_user: int = PREPARE.min_user,
    min_item: int = PREPARE.min_item,
    repeats: Repeats = PREPARE.repeats,
    cold_share: float = PREPARE.cold_share,
    items: Any = None,
    catalog: Catalog = PREPARE.catalog,
    overwrite: bool = False,
    say: Callable[[str], None] = _to_stderr,
) -> dict[str, Any]:
    """Read a log, filter it, split it, write it as Parquet with a manifest.

    Args:
        source: a known dataset's name, a file, a folder, or a polars, pandas or Arrow frame.
        out: the prepared folder.
        split_by: ``leave-one-out``, ``last-n:N``, ``global-time:Q`` or ``none``.
        targets: of a global-time split: each user's ``last``, or ``successive`` ones.
        user: column of the user; like the next four, guessed if not given.
        item: column of the item.
        time: column of the time.
        rating: column of the rating.
        order: column that already is each user's order, for logs whose times are missing.
        format: ``csv``, ``parquet``, ``ndjson`` or ``sequences``, if not guessed rightly.
        min_rating: drop rows rated below.
        min_user: k-core: interactions that every user keeps.
        min_item: k-core: interactions that every item keeps.
        repeats: ``keep``, or ``drop-consecutive``.
        cold_share: share of the items of which only test interactions are kept, to see how
            titles fare that nobody has watched yet.
        items: a file (CSV with a header, Parquet, NDJSON) or frame that tells about items, in
            columns of any name; beside what stands in files next to the log.
        catalog: ``watched``: the items with interactions that the filters leave; ``all``: those,
            and the items that a file tells about and the log does not name, for models with
            content.
        overwrite: replace ``out``.
        say: where the line goes that tells a known dataset's origin.

    Returns:
        The folder and its manifest.

    Raises:
        SeqRecError: a mistake in source, options or folder.
    """
    out = Path(out)
    split = parse_split(split_by, targets)
    filters = Filters(min_rating, min_user, min_item, repeats, cold_share)
    if catalog not in get_args(Catalog):
        raise SeqRecError(f"--catalog {catalog}: choose one of {', '.join(get_args(Catalog))}")
    refuse_existing(out, overwrite)
    name = str(source) if isinstance(source, str | Path) else "a frame"
    known = {card.name for card in list_cards()}
    if name in known and not Path(name).exists():
        source = obtain(name, CACHE, say)
    log = read_source(source, columns=Columns(user, item, time, rating, order), format=format)
    told = None if items is None else read_item_file(items, log.columns.item)
    if told is not None:
        log = told_by(log, told)
    interactions = prepare_interactions(log, filters, split, catalog)
    if told is not None:
        num_unwatched = interactions.counts.get("unwatched_items", 0)
        check_tells(told, interactions.item_ids[: len(interactions.item_ids) - num_unwatched])
    with new_folder(out, overwrite=overwrite) as folder:
        manifest = write_prepared(
            folder,
            interactions,
            source=name,
            log=log,
            filters=filters,
            split_by=split,
            catalog=catalog,
        )
    return {"out": str(out), **manifest}
