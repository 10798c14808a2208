"""Measure search in words: of tags, genres, conversations and half-remembered films.

    python -m benchmarks.search NAME ... --run SEARCH_RUN --start RUN --data DATA --words DIR

NAME: tags, conditions, turns, remembered, plain, latency. ``DIR`` holds files of JSON lines:
``tags-seen.jsonl`` and ``tags-unseen.jsonl``, ``redial_dev.jsonl``,
``tip_of_the_tongue_train.jsonl``. ``RUN`` is the model that search training started from: late
fusion with it is the baseline. Weights of texts are chosen on validation or on the other half of
the conversations, never on what is reported.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.search.asked import Asked, ask_for_tags, ask_half_remembered, ask_in_turns
from benchmarks.search.conditions import measure_conditions, measure_plain
from benchmarks.search.judged import Metrics, choose, compare, cross_fit, judge, summarise
from benchmarks.search.latency import measure_latency
from benchmarks.search.systems import WEIGHTS, fuse_ranks, score_history, score_request
from seqrec.builders.named_models import open_recommender
from seqrec.builders.text_search import TEXT_COLUMNS
from seqrec.data.item_columns import find_text_columns, item_texts
from seqrec.data.prepared import PreparedData
from seqrec.models.text_cache import encode_cached
from seqrec.models.text_encoder import TextEncoder
from seqrec.ranking.recommender import Recommender
from seqrec.reports.tables import text_table


class Systems(NamedTuple):
    """The models under test, and the texts of the items."""

    run: Recommender
    start: Recommender
    encoder: TextEncoder
    item_vectors: Tensor


Score = Callable[[float], Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="+", choices=NAMES)
    for name in ("run", "start", "data"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--words", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, help="first requests of each kind alone")
    args = parser.parse_args()
    prepared = PreparedData.open(args.data)
    run, start = (open_recommender(path, prepared) for path in (args.run, args.start))
    assert isinstance(run, Recommender) and isinstance(start, Recommender)
    encoder = TextEncoder.from_pretrained(run.model.config.query_token["encoder"])
    columns = find_text_columns(prepared.items(), TEXT_COLUMNS)
    texts = item_texts(prepared.items(), columns, "--data")
    systems = Systems(run, start, encoder, torch.from_numpy(encode_cached(encoder, texts)))
    print(f"texts of {', '.join(columns)}; encoder {run.model.config.query_token['encoder']}")
    for name in args.names:
        NAMES[name](systems, prepared, args)


def build_scores(systems: Systems, asked: Asked) -> dict[str, Score]:
    """Return the scores of every system by the weight of the text."""
    words = sorted(set(asked.texts))
    vectors = encode_cached(systems.encoder, words)
    vectors = vectors[[words.index(text) for text in asked.texts]]
    cosines = torch.from_numpy(vectors) @ systems.item_vectors.T
    history = score_history(systems.start, asked)
    token = score_request(systems.run, asked, vectors)
    return {
        "history": lambda weight: history,
        "fusion": lambda weight: history + weight * cosines,
        "text": lambda weight: cosines,
        "query token": lambda weight: token,
        "token + text": lambda weight: token + weight * cosines,
        "token, text by ranks": lambda weight: fuse_ranks([token, cosines]),
    }


def report(asked: Asked, rows: dict[str, tuple[Metrics, str]], metrics: tuple[str, ...]) -> None:
    """Print a table, and the paired differences from late fusion."""
    table = []
    for name, (found, weight) in rows.items():
        summary = summarise({key: found[key] for key in metrics}, asked)
        table.append({"system": name, "weight": weight, **summary})
    print(text_table(table))
    for name in ("query token", "token + text", "token, text by ranks"):
        differences = [
            f"{key} {compare(rows[name][0], rows['fusion'][0], asked, key)}" for key in metrics
        ]
        print(f"{name} over fusion: {', '.join(differences)}")
    print(flush=True)


def measure_tags(systems: Systems, prepared: PreparedData, args: argparse.Namespace) -> None:
    for kind in ("unseen", "seen"):
        file = args.words / f"tags-{kind}.jsonl"
        dev = ask_for_tags(prepared, file, "validation", args.seed)
        asked = ask_for_tags(prepared, file, "test", args.seed)
        dev, asked = dev.first(args.limit), asked.first(args.limit)
        scores_of_dev, scores = build_scores(systems, dev), build_scores(systems, asked)
        rows = {}
        for name, score in scores.items():
            weight = 0.0
            if name in ("fusion", "token + text"):
                weight = choose(WEIGHTS, scores_of_dev[name], dev, "ndcg@10")
            rows[name] = judge(score(weight), asked), f"{weight:g}"
        print(f"{kind} tags: {len(asked)} requests of test, {len(set(asked.texts))} tags")
        report(asked, rows, ("recall@10", "ndcg@10", "share"))


def measure_questions(
    systems: Systems,
    prepared: PreparedData,
    args: argparse.Namespace,
    *,
    read: Callable[[PreparedData, Path], Asked],
    file: str,
) -> None:
    asked = read(prepared, args.words / file).first(args.limit)
    rows = {}
    for name, score in build_scores(systems, asked).items():
        if name in ("fusion", "token + text"):
            found, chosen = cross_fit(WEIGHTS, score, asked, "recall@10")
            rows[name] = found, "/".join(f"{weight:g}" for weight in chosen)
        else:
            rows[name] = judge(score(0.0), asked), ""
    groups = len(np.unique(asked.groups))
    print(f"{file}: {len(asked)} requests of {groups} conversations or people")
    report(asked, rows, ("recall@10", "recall@50", "mrr"))


def _measure_conditions(systems: Systems, prepared: PreparedData, args: argparse.Namespace) -> None:
    measure_conditions(systems.run, systems.start, prepared)


def _measure_plain(systems: Systems, prepared: PreparedData, args: argparse.Namespace) -> None:
    measure_plain(systems.run, systems.start, prepared)


def _measure_latency(systems: Systems, prepared: PreparedData, args: argparse.Namespace) -> None:
    measure_latency(systems.run, prepared, args.words)


NAMES = {
    "tags": measure_tags,
    "conditions": _measure_conditions,
    "turns": partial(measure_questions, read=ask_in_turns, file="redial_dev.jsonl"),
    "remembered": partial(
        measure_questions, read=ask_half_remembered, file="tip_of_the_tongue_train.jsonl"
    ),
    "plain": _measure_plain,
    "latency": _measure_latency,
}


if __name__ == "__main__":
    main()
