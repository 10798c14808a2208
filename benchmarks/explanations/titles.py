"""Measure the named titles of the top item of test users, and the sentences of the template.

Named titles: deleting them changes the top item; they alone keep it among the ten. Both are
measured anew, by lists of the shortened histories, without the titles of the whole history. Random
titles, the most recent and the most similar ones, and the strongest single ones are as many.
Sentences: what their check finds, and how they are formed, is counted for every source.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Int

from benchmarks.explanations.sentences import judge_sentences
from seqrec.builders.explainer import build_explainer, open_writer
from seqrec.builders.named_models import open_recommender
from seqrec.data.item_table import ItemTable
from seqrec.data.prepared import PreparedData
from seqrec.evaluation.protocol import build_queries
from seqrec.explanations.wording import Explanation, Wording
from seqrec.ranking.evidence import Evidence, find_evidence
from seqrec.ranking.explained import Explainer
from seqrec.ranking.recommender import Recommender
from seqrec.ranking.served import Reading
from seqrec.reports.tables import text_table
from seqrec.retrieval.allowed_items import AllowedItems

K = 10
NO_READING = Reading({}, plan=False)
Items = Int[np.ndarray, " T"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("model")
    parser.add_argument("--data", required=True)
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--explain-with", help="language model")


def measure(args: argparse.Namespace) -> None:
    """Print the tables, and some sentences."""
    prepared = PreparedData.open(args.data)
    recommender = open_recommender(args.model, prepared)
    rng = np.random.default_rng(args.seed)
    histories = draw_histories(prepared, args.users, rng)
    explainer = open_explainer(recommender, prepared)
    tops = recommender.rank(histories, 1).items[:, 0].tolist()
    explained, evidence, seconds = explain_tops(recommender, explainer, histories, tops)
    print(
        f"{args.users} users, top item; {np.median(seconds) * 1e3:.0f} ms of the processor an "
        f"explanation (median), {np.percentile(seconds, 95) * 1e3:.0f} ms (95 %)"
    )
    print(text_table(_judge_titles(recommender, histories, tops, explained, evidence, rng)))
    table = [judge_sentences("template", explained, explainer)]
    if args.explain_with:
        writer = open_writer(args.explain_with)
        wording = Wording(writer, writer.name, explainer.checker)
        start = time.perf_counter()
        worded = [wording.explain(one.facts) for one in explained]
        elapsed = (time.perf_counter() - start) / len(worded)
        first = [
            Explanation(one.facts, wording.write_draft(one.facts, 0), writer.name)
            for one in explained[:50]
        ]
        table += [
            judge_sentences(f"first drafts of {writer.name}", first, explainer),
            judge_sentences("checked, then template", worded, explainer),
        ]
        own = np.mean([one.source == writer.name for one in worded])
        print(f"{own:.2f} by the model; {elapsed:.1f} s each; refused: {dict(wording.refused)}")
        for one in worded[:8]:
            print(f"  [{one.source}] {one.sentence}")
    print(text_table(table))
    for one in explained[:8]:
        print(f"  {one.sentence}")
    for one in explained:
        problems = explainer.checker.check(one.sentence, one.facts)
        if problems:
            print(f"  refused ({', '.join(map(str, problems))}): {one.sentence}")


def open_explainer(recommender: Recommender, prepared: PreparedData) -> Explainer:
    """Return the explainer of a model over the columns of the prepared items."""
    served = replace(recommender.serve(), table=ItemTable.build(prepared.items()))
    return build_explainer(served, prepared.path)


def draw_histories(
    prepared: PreparedData, number: int, rng: np.random.Generator
) -> list[Int[np.ndarray, " T"]]:
    """Return the histories of some test users."""
    queries = build_queries(prepared.histories(), "test", "last")
    rows = rng.choice(len(queries.histories), number, replace=False)
    return [np.asarray(queries.histories[row]) for row in rows]


def explain_tops(
    recommender: Recommender,
    explainer: Explainer,
    histories: Sequence[Items],
    tops: Sequence[int],
) -> tuple[list[Explanation], list[Evidence], list[float]]:
    """Return the explanation of the top item after each history, its evidence, and the seconds of
    the processor."""
    explained, evidence, seconds = [], [], []
    served, ids = recommender.serve(), recommender.item_ids
    for history, top in zip(histories, tops, strict=True):
        given = [ids[item] for item in history]
        start = time.process_time()
        found = find_evidence(served, given, np.array([top]), NO_READING, explainer.counted)
        explained += explainer.explain_evidence(found, given, NO_READING)
        seconds.append(time.process_time() - start)
        evidence += found
    return explained, evidence, seconds


def _judge_titles(
    recommender: Recommender,
    histories: Sequence[Items],
    tops: Sequence[int],
    explained: Sequence[Explanation],
    evidence: Sequence[Evidence],
    rng: np.random.Generator,
) -> list[dict[str, object]]:
    vectors = recommender.item_vectors()
    norms = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)

    def pick(order: Callable[[int, Items], Sequence[int]]) -> list[set[int]]:
        chosen = []
        for number, history in enumerate(histories):
            titles = np.array(list(dict.fromkeys(history[::-1].tolist())))
            size = len(explained[number].facts.causes)
            chosen.append(set(titles[np.asarray(order(number, titles))[:size]].tolist()))
        return chosen

    def by_factor(number: int, titles: Items) -> Sequence[int]:
        factors = {one.title: one.without.factor or 0.0 for one in evidence[number].titles}
        return np.argsort([-factors.get(int(title), 0.0) for title in titles], kind="stable")

    systems = {
        "chosen": [{one.item for one in found.facts.causes} for found in explained],
        "largest single factors": pick(by_factor),
        "most similar vectors": pick(
            lambda number, titles: np.argsort(-(norms[titles] @ norms[tops[number]]))
        ),
        "most recent": pick(lambda number, titles: range(len(titles))),
        "random": pick(lambda number, titles: rng.permutation(len(titles))),
    }
    sizes = [len(found.facts.causes) for found in explained]
    rows: list[dict[str, object]] = []
    for name, chosen in systems.items():
        kept = [
            [
                np.array([item for item in history if (item in some) == is_kept], dtype=np.int64)
                for history, some in zip(histories, chosen, strict=True)
            ]
            for is_kept in (False, True)
        ]
        allowed = AllowedItems(
            recommender.num_items, None, None, [np.unique(one) for one in histories]
        )
        with torch.inference_mode():
            without = recommender.rank(kept[0], 1, exclude_seen=False, allowed=allowed).items
            alone = recommender.rank(kept[1], K, exclude_seen=False, allowed=allowed).items
        pairs = zip(tops, without[:, 0].tolist(), alone.tolist(), strict=True)
        changed, stays = np.array([(top != new, top in ten) for top, new, ten in pairs]).T
        rows.append(
            {
                "titles": name,
                "named": float(np.mean(sizes)),
                "top changes without them": float(changed.mean()),
                "in the ten by them alone": float(stays.mean()),
            }
        )
    return rows
