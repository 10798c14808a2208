"""Requests that name a genre and a decade, and histories without a request."""

import numpy as np
import torch

from benchmarks.search.asked import Asked
from benchmarks.search.judged import compare, judge, summarise
from benchmarks.search.systems import score_history
from seqrec.data.prepared import PreparedData
from seqrec.evaluation.protocol import build_queries
from seqrec.ranking.recommender import Recommender
from seqrec.reports.tables import text_table
from seqrec.search.compile import compile_request
from seqrec.search.lexicon import Lexicon

METRICS = ("recall@10", "ndcg@10")


def _ask(prepared: PreparedData, texts: list[str]) -> Asked:
    queries = build_queries(prepared.histories(), "test", "last")
    histories = [np.asarray(history) for history in queries.histories]
    return Asked(np.asarray(queries.users), histories, texts, queries.targets)


def measure_conditions(run: Recommender, start: Recommender, prepared: PreparedData) -> None:
    """Print metrics of the next item among those of its first genre and its decade."""
    items, queries = prepared.items(), build_queries(prepared.histories(), "test", "last")
    genres, years = items["genres"].list.first().to_list(), items["year"].to_list()
    texts = [
        f"a {genres[target]} film from the {years[target] // 10 * 10}s"
        for target in (int(one[0]) for one in queries.targets)
    ]
    asked, lexicon, masks = _ask(prepared, texts), Lexicon.build(items), {}
    for text in set(texts):
        reading = compile_request(text, lexicon)
        assert reading.where and not reading.text, reading.describe()
        masks[text] = torch.from_numpy(run.table.select_where(reading.where))
    allowed = torch.stack([masks[text] for text in texts])
    table, found = [], {}
    for name, model in (("start", start), ("trained for search", run)):
        scores = score_history(model, asked)
        found[name] = judge(scores, asked, allowed=allowed)
        summary = summarise({key: found[name][key] for key in METRICS}, asked)
        table.append({"system": f"{name}, filtered", **summary})
        if name == "start":
            plain = judge(scores, asked)
            summary = summarise({key: plain[key] for key in METRICS}, asked)
            table.append({"system": f"{name}, no request", **summary})
    short = float((allowed.sum(dim=1) < 10).float().mean())
    print(f"genre and decade: {len(asked)} requests; {short:.1%} name fewer than ten items")
    print(text_table(table), flush=True)


def measure_plain(run: Recommender, start: Recommender, prepared: PreparedData) -> None:
    """Print metrics of the next item without a request, and the paired difference."""
    asked = _ask(prepared, [""] * len(build_queries(prepared.histories(), "test", "last").users))
    before, after = (judge(score_history(model, asked), asked) for model in (start, run))
    table = [
        {"system": name, **summarise({key: found[key] for key in METRICS}, asked)}
        for name, found in (("start", before), ("trained for search", after))
    ]
    print(f"no request: {len(asked)} histories of test")
    print(text_table(table))
    for key in METRICS:
        print(f"difference of {key}: {compare(after, before, asked, key)}")
    print(flush=True)
