"""Lists of MovieLens-1M by every store beside those of ``rank``: equal lists, recall, time."""

import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

import seqrec
from benchmarks.engine.prepared import FOLDER, prepared
from benchmarks.engine.rows import Row, at_least, row
from benchmarks.stores.places import APPROXIMATE, FLAT, open_place
from seqrec.data.prepared import PreparedData
from seqrec.evaluation.conditions import read_whole_histories
from seqrec.ranking.list_rules import select_histories
from seqrec.ranking.recommender import Recommender
from seqrec.retrieval.stores.opening import open_store

NAME, MODULE = "store-lists", "benchmarks.stores"
K, USERS, QUICK_USERS = 10, 1000, 50
SCORE_TOLERANCE = 1e-5
RECIPE = ["trainer.max_epochs=2", "model.hidden_size=64"]


class Asked(NamedTuple):
    """Users, and their exact lists."""

    recommender: Recommender
    vectors: np.ndarray
    seen: list[list[str]]
    exact: list[list[tuple[str, float]]]


def measure(quick: bool) -> Iterator[Row]:
    """Yield a row per store and index."""
    data, run = prepared("ml-1m"), FOLDER / "stores-plain"
    if not run.exists():
        seqrec.train("sft", data=data, out=run, overrides=RECIPE)
    asked = _ask(run, data, QUICK_USERS if quick else USERS)
    for kind in FLAT:
        for ann in (None, *APPROXIMATE.get(kind, ())):
            with TemporaryDirectory() as folder, open_place(kind, Path(folder)) as address:
                yield _measure_store(run, data, asked, kind, address, ann)


def _ask(run: Path, data: Path, num_users: int) -> Asked:
    """Return evenly spaced users with their exact lists of unseen items."""
    opened = PreparedData.open(data)
    recommender = Recommender.from_pretrained(run)
    whole = read_whole_histories(recommender, opened)
    rows = np.linspace(0, len(whole) - 1, num_users).round().astype(int)
    histories, ids = select_histories(whole, rows), recommender.item_ids
    ranked = recommender.rank(histories, K)
    exact = [
        [(ids[item], score) for item, score in zip(items, scores, strict=True)]
        for items, scores in zip(ranked.items.tolist(), ranked.scores.tolist(), strict=True)
    ]
    seen = [[ids[item] for item in np.unique(history)] for history in histories]
    return Asked(recommender, recommender.embed_histories(histories), seen, exact)


def _measure_store(
    run: Path, data: Path, asked: Asked, kind: str, address: str, ann: str | None
) -> Row:
    """Export to an empty store, and search in it for every user."""
    done = seqrec.export(run, to=address, data=data, ann=ann)
    live = open_store(address)
    started = time.perf_counter()
    hits = live.search(asked.vectors, K, asked.seen)
    milliseconds = 1000 * (time.perf_counter() - started) / len(asked.seen)
    live.close()
    equal, common = [], []
    for ids, scores, exact in zip(hits.ids, hits.scores, asked.exact, strict=True):
        expected = [id for id, _ in exact]
        close = np.allclose(scores, [score for _, score in exact], atol=SCORE_TOLERANCE, rtol=1e-5)
        equal.append(ids == expected or (close and set(ids) == set(expected)))
        common.append(len(set(ids) & set(expected)) / K)
    recall = done["recall_against_exact"]
    is_flat = ann is None and done["has_flat"]
    measured = ", ".join(f"{name} {value:.3f}" for name, value in recall.items())
    figures = [np.mean(equal)] if is_flat else [np.mean(common)]
    return row(
        NAME,
        f"{'equal lists' if is_flat else 'recall@10'} minus seen, {len(equal):,} users",
        [float(figure) for figure in figures],
        "share",
        system=kind if ann is None else f"{kind}, {ann}",
        target=at_least(1.0 if is_flat else 0.98),
        note=f"{milliseconds:.1f} ms a query; recall@10 of 200 users: {measured}",
        module=MODULE,
    )
