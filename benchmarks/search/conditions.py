"""Requests that name a genre and a decade, and histories without a request."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.engine.rows import Row, at_least, row
from benchmarks.search.asked import Asked
from benchmarks.search.judged import judge, report
from benchmarks.search.systems import Systems, score_history
from seqrec.data.prepared import PreparedData
from seqrec.evaluation.protocol import build_queries
from seqrec.search.compile import compile_request

METRICS = ("recall@10", "ndcg@10")
TARGETS = {"recall@10": at_least(0.56), "ndcg@10": at_least(0.37)}
START = "start, no request"


def _ask(prepared: PreparedData, texts: list[str]) -> Asked:
    queries = build_queries(prepared.histories(), "test", "last")
    histories = [np.asarray(history) for history in queries.histories]
    return Asked(np.asarray(queries.users), histories, texts, queries.targets)


def measure_conditions(systems: Systems, words: Path, limit: int | None) -> Iterator[Row]:
    """Yield metrics of the next item among those of its first genre and its decade."""
    prepared, table = systems.prepared, systems.run.table
    items, queries = prepared.items(), build_queries(prepared.histories(), "test", "last")
    genres, years = items["genres"].list.first().to_list(), items["year"].to_list()
    texts = [
        f"a {genres[target]} film from the {years[target] // 10 * 10}s"
        for target in (int(one[0]) for one in queries.targets)
    ]
    masks = {}
    for text in set(texts):
        reading = compile_request(text, systems.search.served.lexicon)
        assert reading.where and not reading.text, reading.describe()
        masks[text] = torch.tensor(table.select_where(reading.where))
    asked = _ask(prepared, texts).draw(limit)
    allowed = torch.stack([masks[text] for text in asked.texts])
    scores = score_history(systems.start, asked)
    found = {
        START: (judge(scores, asked), ""),
        "recommend --text": (judge(scores, asked, allowed=allowed), ""),
    }
    work = f"{len(asked):,} requests for genre and decade"
    yield from report("conditions", work, asked, found, METRICS, TARGETS, START)
    for one, history in enumerate(asked.histories):
        allowed[one, torch.tensor(history)] = False
    fitting = allowed.sum(dim=1).clamp_max(10) / 10
    yield row(
        "conditions",
        f"{work}: requests that ten unseen items fulfil, which are the list then",
        [float((fitting == 1).float().mean())],
        "share",
        system="recommend --text",
        module="benchmarks.search",
    )


def measure_plain(systems: Systems, words: Path, limit: int | None) -> Iterator[Row]:
    """Yield metrics of the next item without a request, and the share of equal scores."""
    texts = [""] * len(build_queries(systems.prepared.histories(), "test", "last").users)
    asked = _ask(systems.prepared, texts).draw(limit)
    before, after = (score_history(model, asked) for model in (systems.start, systems.run))
    found = {
        START: (judge(before, asked), ""),
        "query token": (judge(after, asked), ""),
    }
    work = f"{len(asked):,} histories without a request"
    yield from report("no-request", work, asked, found, METRICS, {}, START)
    equal = float((before == after).all(dim=1).float().mean())
    yield row(
        "no-request",
        f"{work}: all scores bit-identical to the start's",
        [equal],
        "share",
        system="query token",
        target=at_least(1.0),
        module="benchmarks.search",
    )
