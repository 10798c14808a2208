"""Measure what drafted tags add to search by words, beside people's, on turns of conversations.

Search is the cosine of a request and the texts of the items, without a history. Tags are appended
to the texts: those that people gave, or those that the tagger drafts with enough confidence for
titles whose tags it has not seen (folds of the tagged titles). Nobody reviewed the drafts.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.search.asked import ask_in_turns
from benchmarks.search.judged import compare, judge, summarise
from seqrec.builders.tagger import build_tagger
from seqrec.builders.text_search import TEXT_COLUMNS
from seqrec.data.item_columns import find_text_columns, item_texts
from seqrec.data.item_table import ItemTable
from seqrec.data.prepared import PreparedData
from seqrec.drafts.tag_vocabulary import TagVocabulary, read_tag_vocabulary
from seqrec.drafts.tagger import Tagger
from seqrec.models.text_cache import encode_cached
from seqrec.models.text_encoder import PACKAGE, TextEncoder
from seqrec.reports.tables import text_table

METRICS = ("recall@10", "recall@50", "mrr")
PLAIN = "texts"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--data", required=True, help="prepared folder")
    parser.add_argument("--tags", type=Path, required=True, help="tags that people gave")
    parser.add_argument("--turns", type=Path, required=True, help="redial_dev.jsonl")
    parser.add_argument("--encoder", default=PACKAGE)
    parser.add_argument("--columns", default=",".join(TEXT_COLUMNS), help="of the items' texts")
    parser.add_argument("--confidence", type=float, default=0.2, help="smallest, of drafted tags")
    parser.add_argument("--per-item", type=int, default=5)


def measure(args: argparse.Namespace) -> None:
    """Print recall with and without tags, and the paired differences."""
    prepared = PreparedData.open(args.data)
    table = ItemTable.build(prepared.items())
    vocabulary = read_tag_vocabulary(args.tags, table)
    tagger = build_tagger(prepared, vocabulary, args.encoder).tagger
    asked = ask_in_turns(prepared, args.turns)
    encoder = TextEncoder.from_pretrained(args.encoder)
    requests = torch.from_numpy(encode_cached(encoder, asked.texts))
    columns = find_text_columns(table.items, args.columns.split(","))
    texts = [text or "" for text in item_texts(table.items, columns, "--data")]
    people = list_given(vocabulary, len(texts))
    drafted = list_drafted(tagger, vocabulary, args.confidence, args.per_item)
    both = [[*dict.fromkeys([*one, *other])] for one, other in zip(people, drafted, strict=True)]
    rows, table_rows = {}, []
    sources = {
        PLAIN: [[]] * len(texts),
        "people's tags": people,
        "drafted tags": drafted,
        "people's and drafted": both,
    }
    for name, tags in sources.items():
        vectors = encode_cached(encoder, list(map(append_tags, texts, tags)))
        found = judge(requests @ torch.from_numpy(vectors).T, asked)
        rows[name] = {key: found[key] for key in METRICS}
        per_item = float(np.mean([len(one) for one in tags]))
        table_rows.append({"texts and": name, "tags": per_item, **summarise(rows[name], asked)})
    print(f"{len(asked)} turns; texts of {', '.join(columns)}; no history is read")
    print(text_table(table_rows))
    for name in list(sources)[1:]:
        print(f"{name}: recall@10 {compare(rows[name], rows[PLAIN], asked, 'recall@10')}")


def append_tags(text: str, tags: Sequence[str]) -> str:
    """Return a text with tags behind it."""
    return f"{text}. {', '.join(tags)}" if tags else text


def list_given(vocabulary: TagVocabulary, num_items: int) -> list[list[str]]:
    """Return the tags that people gave each item."""
    given: list[list[str]] = [[] for _ in range(num_items)]
    for item, own in zip(vocabulary.items.tolist(), vocabulary.has_tag, strict=True):
        given[item] = [vocabulary.tags[number] for number in np.flatnonzero(own)]
    return given


def list_drafted(
    tagger: Tagger, vocabulary: TagVocabulary, confidence: float, per_item: int
) -> list[list[str]]:
    """Return the tags drafted for each item by a tagger that has not seen the item's own tags."""
    confidences = tagger.confidences.copy()
    confidences[vocabulary.items] = tagger.held_out
    best = np.argsort(-confidences, axis=1, kind="stable")[:, :per_item]
    return [
        [vocabulary.tags[number] for number in row if own[number] >= confidence]
        for row, own in zip(best.tolist(), confidences, strict=True)
    ]
