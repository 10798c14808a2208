"""``seqrec export --to STORE``: the items of a model, published in a vector database."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

import seqrec
from seqrec.data.item_rows import VECTOR, build_item_rows
from seqrec.data.prepared import PreparedData
from seqrec.evaluation.conditions import read_whole_histories
from seqrec.ranking.list_rules import select_histories
from seqrec.ranking.recommender import Recommender
from seqrec.retrieval.stores.ann import Ann, check_kind
from seqrec.retrieval.stores.columns import name_types
from seqrec.retrieval.stores.description import Description
from seqrec.retrieval.stores.interface import Store
from seqrec.retrieval.stores.opening import ANN_KINDS, open_target
from seqrec.retrieval.stores.publication import publish_rows
from seqrec.retrieval.stores.recall import Sample, measure_recall
from seqrec.retrieval.stores.urls import Address

RECALL_K = 10
MOST_QUERIES = 200
"""Users whose lists the recall is measured on."""
FILTERED_COLUMN = "genres"


class StoreOptions(NamedTuple):
    """The content of an export to a store, and its settings."""

    payload: Sequence[str]
    keep: int
    ann: Ann | None
    only_changed: bool


def export_to_store(
    recommender: Recommender,
    prepared: PreparedData | None,
    address: Address,
    options: StoreOptions,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """Publish the items of a recommender in a store; see ``seqrec.export``.

    Args:
        recommender: the model, which reads the histories of ``prepared``.
        prepared: data whose users' queries the recall is measured on; None: vectors of items.
        address: the store.
        options: what is written.
        progress: gets a line from time to time.
    """
    check_kind(options.ann, address.kind, ANN_KINDS[address.kind])
    vectors = recommender.item_embeddings()
    rows = build_item_rows(recommender.items, vectors, options.payload)
    sample = _draw_sample(recommender, prepared, rows, vectors)
    store = open_target(address, writes=True)
    try:
        return _publish(store, recommender, rows, sample, address, options, progress)
    finally:
        store.close()


def _publish(
    store: Store,
    recommender: Recommender,
    rows: pa.Table,
    sample: Sample,
    address: Address,
    options: StoreOptions,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    description = _describe(recommender, rows, options.ann)
    done = publish_rows(
        store,
        rows,
        description,
        keep=options.keep,
        only_changed=options.only_changed,
        measure=partial(
            measure_recall,
            sample=sample,
            ids=recommender.item_ids,
            vectors=recommender.item_embeddings(),
            k=RECALL_K,
        ),
        progress=lambda line: progress(f"{store.label}: {line}"),
    )
    return {
        "to": address.kind,
        "store": address.label,
        "name": address.name,
        **{key: value for key, value in asdict(done).items() if key != "recall"},
        "recall_against_exact": dict(done.recall),
        "recall_queries": len(sample.queries),
        "recall_of_users": sample.seen is not None,
        "ann": description.ann,
        "has_flat": store.has_flat,
        "switches_at_once": store.switches_at_once,
        "width": description.width,
        "scores_are_products": description.scores_are_products,
        "catalog_fingerprint": description.catalog_fingerprint,
        "tokenizer_fingerprint": description.tokenizer_fingerprint,
        "model_fingerprint": description.model_fingerprint,
        "counts": {"items": len(rows)},
        "columns": dict(description.columns),
    }


def _describe(recommender: Recommender, rows: pa.Table, ann: Ann | None) -> Description:
    """Return the description of a new version of rows."""
    now = datetime.now(UTC)
    resolved = None if ann is None else ann.resolve(len(rows)).to_settings()
    model_fingerprint = recommender.fingerprint
    digest = hashlib.sha256()
    for part in (
        model_fingerprint,
        recommender.catalog_fingerprint,
        json.dumps([resolved, recommender.scores_are_products]),
        json.dumps(rows.drop_columns([VECTOR]).to_pydict()),
    ):
        digest.update(part.encode() + b"\0")
    return Description(
        version=now.strftime("%Y%m%d%H%M%S%f"),
        content=digest.hexdigest(),
        model=recommender.name,
        model_fingerprint=model_fingerprint,
        catalog_fingerprint=recommender.catalog_fingerprint,
        tokenizer_fingerprint=recommender.model.config.tokenizer_fingerprint,
        scores_are_products=recommender.scores_are_products,
        width=recommender.width,
        num_items=len(rows),
        columns=name_types(rows.schema),
        ann=resolved,
        written_at=now.isoformat(timespec="seconds"),
        seqrec=seqrec.__version__,
    )


def _draw_sample(
    recommender: Recommender,
    prepared: PreparedData | None,
    rows: pa.Table,
    vectors: np.ndarray,
) -> Sample:
    """Return evenly spaced users, or items where there are no data, each with a genre in turn."""
    if prepared is None:
        queries, seen = vectors[_spread(len(vectors))], None
    else:
        whole = read_whole_histories(recommender, prepared)
        chosen = select_histories(whole, _spread(len(whole)))
        queries = recommender.embed_histories(chosen)
        mapped = recommender.model_histories(chosen)
        known = [np.asarray(mapped[row]) for row in range(len(mapped))]
        seen = [items[items >= 0] for items in known]
    masks: dict[str, np.ndarray] = {}
    if FILTERED_COLUMN in rows.column_names:
        genres = rows[FILTERED_COLUMN].to_pylist()
        for row, cell in enumerate(genres):
            for genre in cell or ():
                masks.setdefault(genre, np.zeros(len(rows), dtype=bool))[row] = True
    names = sorted(masks)
    values = [names[row % len(names)] for row in range(len(queries))] if names else []
    return Sample(queries, seen, FILTERED_COLUMN if names else None, values, masks)


def _spread(length: int) -> np.ndarray:
    """Return evenly spaced rows."""
    return np.linspace(0, length - 1, min(length, MOST_QUERIES)).round().astype(np.int64)
