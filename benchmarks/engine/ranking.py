"""The top 50 of the whole catalog for all users of the test part, encoding included.

The model is untrained: weights do not change how long this takes. ``has_ids`` asks for the table
of user and item ids, ranks and scores, too, which is what other libraries answer.
"""

import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.engine.measure import in_fresh_process
from benchmarks.engine.rows import Row, at_least, row
from benchmarks.engine.steps import (
    WORKS,
    Work,
    build_objective,
    for_each_work,
)
from seqrec.data.prepared import PreparedData
from seqrec.data.recommendations import build_recommendations_table
from seqrec.evaluation.protocol import build_queries

NAME = Path(__file__).stem
K = 50
TARGETS = {"beauty": at_least(15_000), "ml-1m": at_least(4_200)}


def measure(quick: bool) -> Iterator[Row]:
    """A row a data set."""
    yield from for_each_work(NAME, lambda work: rows_of(work, quick))


def rows_of(work: Work, quick: bool) -> Iterator[Row]:
    """Rows of one data set."""
    answers = [
        in_fresh_process(NAME, data=work.data, folder=work.folder, num_repeats=1 if quick else 3)
        for _ in range(1 if quick else 3)
    ]
    runs = [statistics.median(answer["users_per_second"]) for answer in answers]
    best = max(max(answer["users_per_second"]) for answer in answers)
    yield row(
        NAME,
        f"recommend the top {K} to all users, {work.title}",
        runs,
        "users/s",
        target=TARGETS[work.data],
        note=f"{answers[0]['num_users']:,} users, the best repeat {best:,.0f} users/s",
    )


def probe(data: str, folder: str, num_repeats: int, has_ids: bool = False) -> dict[str, Any]:
    """Users per second of a few repeats, the first one, which warms up, left out."""
    _, objective = build_objective(WORKS[data], folder)
    ranker = objective.module.ranker
    objective.module.eval()
    prepared = PreparedData.open(folder)
    queries = build_queries(prepared.histories(), "test", prepared.targets)
    histories = queries.histories
    user_ids = prepared.users()["user_id"].gather(queries.users).to_list()
    item_ids = prepared.items()["item_id"].to_list()
    seconds = []
    for _ in range(1 + num_repeats):
        started = time.perf_counter()
        ranked = ranker.rank(histories, K)
        if has_ids:
            build_recommendations_table(
                user_ids, item_ids, ranked.items.numpy(), ranked.scores.numpy()
            )
        seconds.append(time.perf_counter() - started)
    rates = [len(histories) / time for time in seconds[1:]]
    return {"num_users": len(histories), "users_per_second": rates}
