"""Measure search by tags: the next item, described by one of its tags, in the list of ten.

    python -m benchmarks.search MODEL --data DATA --tags TAGS.jsonl [--split test]

``TAGS.jsonl`` has a line ``{"item_id": "1", "tags": ["pixar", ...]}`` for every item that people
tagged. For each user whose target has tags, one of them, drawn with a fixed seed, is the request.
The weight of the text is chosen on validation; the test is read once.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from seqrec.builders.named_models import open_recommender
from seqrec.builders.text_search import ENCODER, TEXT_COLUMNS
from seqrec.data.item_columns import find_text_columns, item_texts
from seqrec.data.prepared import PreparedData
from seqrec.evaluation.protocol import build_queries
from seqrec.models.text_cache import encode_cached
from seqrec.models.text_encoder import TextEncoder
from seqrec.reports.tables import text_table
from seqrec.retrieval.exact import SeenItems, top_k

K = 10
BATCH = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--data", required=True)
    parser.add_argument("--tags", type=Path, required=True)
    parser.add_argument("--split", choices=["validation", "test"], default="validation")
    parser.add_argument("--weights", default="0,2,5,10,15,20,30,1000")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    prepared = PreparedData.open(args.data)
    recommender = open_recommender(args.model, prepared)
    queries = build_queries(prepared.histories(), args.split, "last")
    lines = args.tags.read_text(encoding="utf-8").splitlines()
    tags = {line["item_id"]: line["tags"] for line in map(json.loads, lines) if line["tags"]}
    of_item = [tags.get(item_id, []) for item_id in recommender.item_ids]
    targets = [int(items[0]) for items in queries.targets]
    rows = [row for row, target in enumerate(targets) if of_item[target]]
    rng = np.random.default_rng(args.seed)
    asked = [str(rng.choice(of_item[targets[row]])) for row in rows]
    encoder = TextEncoder.from_pretrained(ENCODER)
    items = prepared.items()
    columns = find_text_columns(items, TEXT_COLUMNS)
    vectors = torch.from_numpy(encode_cached(encoder, item_texts(items, columns, "--data")))
    words = sorted(set(asked))
    requests = torch.from_numpy(encode_cached(encoder, words))
    cosines = requests[[words.index(tag) for tag in asked]] @ vectors.T
    has_tag = {tag: [tag in some for some in of_item] for tag in words}
    weights = [float(weight) for weight in args.weights.split(",")]
    ranks: dict[float, list[tuple[float, float, float]]] = {weight: [] for weight in weights}
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        histories = [np.asarray(queries.histories[row]) for row in batch]
        with torch.inference_mode():
            scores = recommender.score_tiles(histories)(0, recommender.num_items)
        for weight in weights:
            fused = scores + weight * cosines[start : start + len(batch)]
            found = top_k(
                lambda a, b, fused=fused: fused[:, a:b],
                len(batch),
                recommender.num_items,
                K,
                seen=SeenItems.from_lists(histories),
                tile_items=recommender.tile_items,
            ).items.tolist()
            for row, listed, tag in zip(batch, found, asked[start:], strict=False):
                ranks[weight].append(_judge(listed, targets[row], has_tag[tag]))
    print(f"{len(rows)} requests of {args.split}, {len(words)} tags; text of {', '.join(columns)}")
    names = ("recall@10", "ndcg@10", "share with the tag")
    table = []
    for weight, values in ranks.items():
        means = np.mean(values, axis=0)
        row = dict(zip(names, map(float, means), strict=True))
        table.append({"weight": f"{weight:g}", **row})
    print(text_table(table))


def _judge(listed: Sequence[int], target: int, has_tag: Sequence[bool]) -> tuple[float, ...]:
    """Return hit, discounted gain and the share of the list that people gave the tag to."""
    place = listed.index(target) if target in listed else -1
    gain = 1 / np.log2(place + 2) if place >= 0 else 0.0
    share = float(np.mean([has_tag[item] for item in listed if item >= 0] or [0.0]))
    return float(place >= 0), float(gain), share


if __name__ == "__main__":
    main()
