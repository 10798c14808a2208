"""An export as a publication: write a version, read it back, measure it, switch, drop old ones."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pyarrow as pa

from seqrec.errors import SeqRecError, quote
from seqrec.retrieval.stores.ann import Ann
from seqrec.retrieval.stores.changes import Changes, find_changes
from seqrec.retrieval.stores.columns import ID, VECTOR, list_payloads, list_vectors
from seqrec.retrieval.stores.description import Description
from seqrec.retrieval.stores.interface import Store, Version, newest_first
from seqrec.retrieval.stores.opening import LiveStore

EXPORT_AGAIN = "the live version is unchanged; export again"
LEAST_FLAT_RECALL = 0.98
"""Recall below which a search that claims to be exact is at fault."""
SECONDS_BETWEEN_LINES = 2.0

Measure = Callable[[LiveStore], Mapping[str, float]]
"""Measures the recall of a written version by the kind of query."""


@dataclass(frozen=True)
class Publication:
    """The effect of an export on a store."""

    version: str
    """The version that is live."""
    previous: str | None
    """The version that was live before."""
    written: int
    """Rows that were written."""
    resumed: int
    """Rows that an earlier, interrupted export had written."""
    removed: int
    """Rows that were removed from the version, with ``--changed``."""
    recall: Mapping[str, float]
    dropped: Sequence[str]


def publish_rows(
    store: Store,
    rows: pa.Table,
    description: Description,
    *,
    keep: int,
    only_changed: bool,
    measure: Measure,
    progress: Callable[[str], None],
) -> Publication:
    """Write rows as a version of a store, check it, and make it the live one.

    Until the last step readers see the version that was live before, also if this is killed. An
    export of the same content continues where it was interrupted.

    Args:
        store: the store.
        rows: id, vector and columns of every item.
        description: what the rows are; the name of an interrupted version replaces its own.
        keep: number of complete versions to keep, with the live one.
        only_changed: write only rows that differ from the live version, into it, and remove those
            that left. All rows are written where a reader could see rows of two models.
        measure: measures the recall before the switch.
        progress: gets a line from time to time.

    Raises:
        SeqRecError: the store fails, what is read back differs, or an exact search is none.
    """
    store.check_rows(rows)
    versions = store.attempt(store.list_versions)
    live = store.attempt(store.get_live)
    changes = _plan_changes(store, rows, description, versions, live) if only_changed else None
    if changes is not None and live is not None:
        description = replace(description, version=live)
        progress(f"{len(changes.rows):,} changed rows, {len(changes.gone):,} that left")
        store.attempt(lambda: store.update(description, changes.rows, changes.gone))
        written, resumed, removed = len(changes.rows), 0, len(changes.gone)
    else:
        description, resumed = _fill(store, rows, description, versions, progress)
        written, removed = len(rows) - resumed, 0
    progress("reading back")
    store.attempt(partial(_compare, store, rows, description))
    progress("measuring the recall")
    recall = measure(LiveStore(store, description))
    _check_recall(store, description, recall)
    if live != description.version:
        store.attempt(lambda: store.publish(description.version))
    dropped = _drop_old(store, description.version, keep)
    return Publication(description.version, live, written, resumed, removed, recall, dropped)


def _plan_changes(
    store: Store,
    rows: pa.Table,
    description: Description,
    versions: Sequence[Version],
    live: str | None,
) -> Changes | None:
    """Return the changes to the live version; None if a whole version must be written."""
    published = next((one.description for one in versions if one.name == live), None)
    if published is None:
        return None
    fixed = ("width", "columns", "ann", "scores_are_products")
    if any(getattr(published, name) != getattr(description, name) for name in fixed):
        return None
    changes = store.attempt(lambda: find_changes(rows, store.read(published.version)))
    return None if changes.has_changed_vectors and not store.updates_at_once else changes


def _fill(
    store: Store,
    rows: pa.Table,
    description: Description,
    versions: Sequence[Version],
    progress: Callable[[str], None],
) -> tuple[Description, int]:
    """Write the rows that the version lacks; return its description and the rows that it had."""
    same = [one for one in versions if one.description.content == description.content]
    missing = rows
    if same:
        description = newest_first(same)[0].description
        present = store.attempt(lambda: _read_ids(store, description.version))
        missing = rows.filter(pa.array([id not in present for id in rows[ID].to_pylist()]))
    else:
        store.attempt(lambda: store.create(description, rows.schema))
    num_present, last = len(rows) - len(missing), time.monotonic()
    for start in range(0, len(missing), store.batch_rows):
        batch = missing.slice(start, store.batch_rows)
        store.attempt(partial(store.insert, description.version, batch))
        if time.monotonic() - last > SECONDS_BETWEEN_LINES or start == 0:
            last = time.monotonic()
            progress(f"{num_present + start + len(batch):,} of {len(rows):,} rows written")
    ann = Ann.from_settings(description.ann)
    if ann is not None and (len(missing) or not same or not newest_first(same)[0].is_complete):
        progress(f"building the index {ann.kind}")
        store.attempt(lambda: store.build_index(description.version, ann))
    return description, num_present


def _read_ids(store: Store, version: str) -> set[str]:
    return {id for batch in store.read(version) for id in batch[ID].to_pylist()}


def _compare(store: Store, rows: pa.Table, description: Description) -> None:
    """Refuse a version that differs from what was written."""
    row_by_id = {id: row for row, id in enumerate(rows[ID].to_pylist())}
    is_read = np.zeros(len(rows), dtype=bool)
    for batch in store.read(description.version):
        ids = batch[ID].to_pylist()
        places = [row_by_id.get(id, -1) for id in ids]
        if -1 in places:
            stranger = ids[places.index(-1)]
            raise SeqRecError(f"{store.label}: holds {quote(stranger)}, which was not written")
        if is_read[places].any() or len(set(places)) < len(places):
            raise SeqRecError(f"{store.label}: holds an id twice; {EXPORT_AGAIN}")
        is_read[places] = True
        _compare_rows(store, rows.take(places), batch)
    if not is_read.all():
        missing = rows[ID][int(is_read.argmin())].as_py()
        raise SeqRecError(
            f"{store.label}: {int((~is_read).sum()):,} rows are missing, {quote(missing)} first; "
            f"{EXPORT_AGAIN}"
        )


def _compare_rows(store: Store, expected: pa.Table, found: pa.Table) -> None:
    """Refuse vectors or columns that differ from what was written."""
    if not np.array_equal(list_vectors(expected), list_vectors(found)):
        raise SeqRecError(f"{store.label}: vectors read back differ; {EXPORT_AGAIN}")
    names = [name for name in expected.column_names if name not in (ID, VECTOR)]
    if all(expected[name].equals(found[name]) for name in names):
        return
    pairs = zip(list_payloads(expected), list_payloads(found), strict=True)
    for row, (one, other) in enumerate(pairs):
        if one != other:
            column = next(name for name in names if one.get(name) != other.get(name))
            raise SeqRecError(
                f"{store.label}: {column} of {quote(expected[ID][row].as_py())} reads back as "
                f"{quote(other.get(column))}, not {quote(one.get(column))}; {EXPORT_AGAIN}"
            )


def _check_recall(store: Store, description: Description, recall: Mapping[str, float]) -> None:
    if description.ann is not None or not store.has_flat or not recall:
        return
    name = min(recall, key=lambda name: recall[name])
    if recall[name] < LEAST_FLAT_RECALL:
        raise SeqRecError(
            f"{store.label}: exact search finds {recall[name]:.3f} of the best items ({name}); "
            "the live version is unchanged; check the store"
        )


def _drop_old(store: Store, live: str, keep: int) -> list[str]:
    """Drop what is neither live nor among the newest complete versions, and return its names."""
    others = [one for one in store.attempt(store.list_versions) if one.name != live]
    complete = [one.name for one in newest_first(others) if one.is_complete]
    kept = set(complete[: keep - 1])
    dropped = [one.name for one in others if one.name not in kept]
    for name in dropped:
        store.attempt(partial(store.drop, name))
    return dropped
