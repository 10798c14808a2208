"""Requests of people: tags of the next item, turns of conversations, films half recalled."""

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.engine.rows import Row, Target, at_least
from benchmarks.search.asked import Asked, ask_for_tags
from benchmarks.search.judged import Metrics, choose, cross_fit, judge, report
from benchmarks.search.systems import (
    WEIGHTS,
    Systems,
    fuse_ranks,
    score_history,
    score_readings,
    score_request,
)
from seqrec.data.prepared import PreparedData

SEED = 0
Weights = tuple[float, ...]
Score = Callable[[Weights], Tensor]
TARGETS = {
    "unseen-tags": {"recall@10": 0.46, "ndcg@10": 0.29, "share": 0.25},
    "seen-tags": {"recall@10": 0.8},
    "turns": {"recall@10": 0.165, "recall@50": 0.38, "mrr": 0.09},
    "remembered": {"recall@10": 0.36, "mrr": 0.21},
}
GUIDANCE = (1.1, 1.25, 1.5, 2.0)
"""Weights of a request beside 1, as of ``--guidance``; none is chosen."""
FUSION = "late fusion"
OTHER = "text by --encoder"


def list_targets(name: str) -> dict[str, Target]:
    """Return the targets of a measurement by metric."""
    return {metric: at_least(bound) for metric, bound in TARGETS[name].items()}


def build_scores(systems: Systems, asked: Asked) -> dict[str, tuple[Score, Sequence[Weights]]]:
    """Return the scores of every system by weights, and the weights to choose from."""
    history = score_history(systems.start, asked)
    texts, vectors = systems.score_texts(asked), systems.encode(asked.texts)
    token = score_request(systems.run, asked.histories, vectors)
    content = systems.run.model.query_token.content
    tags = content[:, vectors.shape[1] :]
    found: dict[str, tuple[Score, Sequence[Weights]]] = {
        "history": (lambda weights: history, [()]),
        FUSION: (lambda weights: history + weights[0] * texts, [(one,) for one in WEIGHTS]),
    }
    if tags.shape[1]:
        by_tag = torch.from_numpy(vectors) @ F.normalize(tags, dim=1).T
        pairs = list(product((5.0, 7.0, 10.0, 15.0), (3.0, 5.0, 7.0, 10.0, 15.0)))
        found["late fusion with tags"] = (
            lambda weights: history + weights[0] * texts + weights[1] * by_tag,
            pairs,
        )
    readings = score_readings(systems, asked)
    found["query token"] = (lambda weights: token, [()])
    found["recommend --text"] = (lambda weights: readings, [()])
    return found


def measure_tags(
    systems: Systems, words: Path, limit: int | None, *, name: str, file: str
) -> Iterator[Row]:
    """Yield metrics of the next item when one of its tags is the request."""
    parts = [
        ask_for_tags(systems.prepared, words / file, split, SEED).draw(limit)
        for split in ("validation", "test")
    ]
    dev, asked = parts
    scores_of_dev, scores = build_scores(systems, dev), build_scores(systems, asked)
    plain, token = scores["history"][0](()), scores["query token"][0](())
    found: dict[str, tuple[Metrics, str]] = {}
    for system, (score, weights) in scores.items():
        chosen = weights[0]
        if len(weights) > 1:
            chosen = choose(weights, scores_of_dev[system][0], dev, "ndcg@10")
        found[system] = judge(score(chosen), asked), "/".join(f"{one:g}" for one in chosen)
    for weight in GUIDANCE:
        found[f"query token, guidance {weight}"] = (
            judge(plain + weight * (token - plain), asked),
            "",
        )
    work = f"{len(asked):,} requests for one of {len(set(asked.texts))} tags"
    yield from report(
        name, work, asked, found, ("recall@10", "ndcg@10", "share"), list_targets(name), FUSION
    )


def measure_questions(
    systems: Systems,
    words: Path,
    limit: int | None,
    *,
    name: str,
    read: Callable[[PreparedData, Path], Asked],
    file: str,
) -> Iterator[Row]:
    """Yield metrics of the films that answer what people wrote."""
    asked = read(systems.prepared, words / file).draw(limit)
    scores = build_scores(systems, asked)
    by_words, texts = systems.score_words(asked), systems.score_texts(asked)
    token = scores["query token"][0](())
    scores |= {
        "BM25": (lambda weights: by_words, [()]),
        "text": (lambda weights: texts, [()]),
        "BM25, text by ranks": (lambda weights: fuse_ranks([by_words, texts]), [()]),
        "query token + BM25": (
            lambda weights: token + weights[0] * by_words,
            [(one,) for one in (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)],
        ),
    }
    if systems.other is not None:
        others = systems.score_texts(asked, systems.other)
        scores |= {
            OTHER: (lambda weights: others, [()]),
            f"BM25, {OTHER} by ranks": (lambda weights: fuse_ranks([by_words, others]), [()]),
            f"BM25, text, {OTHER} by ranks": (
                lambda weights: fuse_ranks([by_words, texts, others]),
                [()],
            ),
            f"BM25 + {OTHER}": (
                lambda weights: others + weights[0] * by_words,
                [(one,) for one in (0.0, 0.003, 0.005, 0.01, 0.02, 0.03)],
            ),
        }
    found: dict[str, tuple[Metrics, str]] = {}
    for system, (score, weights) in scores.items():
        if len(weights) == 1:
            found[system] = judge(score(weights[0]), asked), ""
            continue
        metrics, chosen = cross_fit(weights, score, asked, "recall@10")
        found[system] = metrics, " and ".join("/".join(f"{w:g}" for w in one) for one in chosen)
    groups = len(np.unique(asked.groups))
    work = f"{len(asked)} requests of {groups} conversations or people"
    yield from report(
        name, work, asked, found, ("recall@10", "recall@50", "mrr"), list_targets(name), FUSION
    )
