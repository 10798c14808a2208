"""Measure drafted tags on titles whose tags the tagger has not seen.
A fifth of the tagged titles is held out; penalty and weights are chosen by cross-validation on the
others. Precision at five of all held-out titles, with each part alone, and the most frequent tags.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seqrec.builders.tagger import TEXT_COLUMNS, list_blocks
from seqrec.data.item_columns import find_text_columns, item_texts
from seqrec.data.item_table import ItemTable
from seqrec.data.prepared import PreparedData
from seqrec.drafts.tag_vocabulary import read_tag_vocabulary
from seqrec.drafts.tagger import build_features, fit_tagger, measure_precision
from seqrec.models.text_cache import encode_cached
from seqrec.models.text_encoder import PACKAGE, TextEncoder
from seqrec.reports.tables import text_table

HELD_SHARE = 0.2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--data", required=True)
    parser.add_argument("--tags", type=Path, required=True)
    parser.add_argument("--encoder", default=PACKAGE)
    parser.add_argument("--seeds", default="0,1,2")


def measure(args: argparse.Namespace) -> None:
    """Print precision at five of every part."""
    prepared = PreparedData.open(args.data)
    table = ItemTable.build(prepared.items())
    vocabulary = read_tag_vocabulary(args.tags, table)
    encoder = TextEncoder.from_pretrained(args.encoder)
    columns = find_text_columns(table.items, TEXT_COLUMNS)
    texts = [text or "" for text in item_texts(table.items, columns, "--data")]
    vectors = encode_cached(encoder, texts).astype(np.float64)
    similarities = vectors @ encode_cached(encoder, vocabulary.tags).T
    print(f"{len(vocabulary.items):,} tagged titles, {len(vocabulary.tags):,} tags; {columns}")
    blocks = list_blocks(prepared, table, vectors)
    inputs = {
        "texts": build_features(blocks[:1]),
        ", ".join(block.name for block in blocks): build_features(blocks),
        "all without who watched": build_features(
            [block for block in blocks if block.name != "who watched"]
        ),
    }
    found: dict[str, list[float]] = {}
    for seed in map(int, args.seeds.split(",")):
        order = np.random.default_rng(seed).permutation(len(vocabulary.items))
        cut = int(HELD_SHARE * len(order))
        held, learned = np.sort(order[:cut]), np.sort(order[cut:])
        truth, own = vocabulary.has_tag[held], vocabulary.has_tag[learned]
        asked = vocabulary.items[held]
        frequent = np.tile(own.mean(axis=0), (len(held), 1))
        rows = {"most frequent tags": frequent, "zero-shot": similarities[asked]}
        for name, features in inputs.items():
            tagger = fit_tagger(features, similarities, vocabulary.items[learned], own, seed=seed)
            rows[f"tagger on {name}"] = tagger.scores[asked]
            print(f"seed {seed}, {name}: {tagger.setting}, {tagger.precision:.4f} on its folds")
        for name, scores in rows.items():
            found.setdefault(name, []).append(measure_precision(scores, truth))
    best = [_ideal(vocabulary.has_tag)]
    print(text_table([_row(name, values) for name, values in found.items()]))
    print(f"at most {best[0]:.3f}: titles have fewer than five tags of the vocabulary")


def _row(name: str, values: Sequence[float]) -> dict[str, object]:
    return {"system": name, "precision@5": float(np.mean(values)), "sd": float(np.std(values))}


def _ideal(has_tag: np.ndarray) -> float:
    return float((has_tag.sum(axis=1).clip(max=5) / 5).mean())
