"""Chats that name items: synthesised requests to learn from, and requests of two kinds to judge by.

``FOLDER/words`` holds what people wrote about films of MovieLens, as JSON lines: ``tags.jsonl``
(``{"item_id", "tags"}``) and ``redial_dev.jsonl``, turns of conversations (ReDial).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from benchmarks.engine.prepared import FOLDER, Missing
from benchmarks.search.asked import Asked, ask_in_turns, read_lines
from seqrec.data.prepared import PreparedData
from seqrec.evaluation.protocol import build_queries
from seqrec.search.requests.synthesis import Requests, synthesise_requests
from seqrec.tokens.tokenizer import history_text, item_token

WORDS = FOLDER / "words"
SYSTEM = {"role": "system", "content": "Films."}
"""The first message of every chat: the template would write a longer one."""
PER_ITEM = 8
"""Synthesised requests of an item, at most."""
RECENT = 6
"""Items of a history in a chat."""
YEAR = r"\((\d{4})\)"


class Catalog(NamedTuple):
    """The items with what people said of them, and synthesised requests for them."""

    items: pl.DataFrame
    """With title, genres, year and tags."""
    requests: Requests


def describe_catalog(data: PreparedData, seed: int) -> Catalog:
    """Return the items of a prepared folder with tags, and requests for them.

    Raises:
        Missing: nobody's words are at hand.
    """
    if not WORDS.exists():
        raise Missing(f"{WORDS}: put tags.jsonl and redial_dev.jsonl there")
    tags = pl.DataFrame(read_lines(WORDS / "tags.jsonl")).select("item_id", "tags")
    items = data.items().join(tags, on="item_id", how="left", maintain_order="left")
    items = items.with_columns(year=pl.col("title").str.extract(YEAR).cast(pl.Int64))
    return Catalog(items, synthesise_requests(items, per_item=PER_ITEM, seed=seed))


def build_request(text: str) -> list[dict[str, str]]:
    """Return the messages of a request."""
    return [SYSTEM, {"role": "user", "content": text}]


def draw_chats(
    data: PreparedData, catalog: Catalog, num_chats: int, seed: int
) -> Iterator[dict[str, Any]]:
    """Yield chats: a request for the next item of a training history, and the item.

    Half of them have the items before it, in front of the request.
    """
    generator = np.random.default_rng(seed)
    histories, item_ids = data.histories(), catalog.items["item_id"].to_list()
    table, num_drawn = catalog.requests.training, 0
    while num_drawn < num_chats:
        items = histories.training_part(int(generator.integers(data.num_users)))
        place = int(generator.integers(1, len(items)))
        (row,) = table.choose(items[place : place + 1], int(generator.integers(2**31)))
        if row < 0:
            continue
        text = table.texts[row]
        if generator.random() < 0.5:
            recent = [item_ids[item] for item in items[max(place - RECENT, 0) : place]]
            text = f"{history_text(recent)}\n{text}"
        answer = {"role": "assistant", "content": item_token(item_ids[items[place]])}
        num_drawn += 1
        yield {"messages": [*build_request(text), answer]}


def ask_synthesised(data: PreparedData, catalog: Catalog, number: int, seed: int) -> Asked:
    """Return requests for the test items of some users, in wordings that training never used."""
    queries, table = build_queries(data.histories(), "test", "last"), catalog.requests.new_wordings
    rows = table.choose(np.array([int(one[0]) for one in queries.targets]), seed)
    known = np.flatnonzero(rows >= 0)
    chosen = np.sort(np.random.default_rng(seed).permutation(known)[:number]).tolist()
    return Asked(
        np.array([int(queries.users[one]) for one in chosen]),
        [np.asarray(queries.histories[one])[-RECENT:] for one in chosen],
        [table.texts[rows[one]] for one in chosen],
        [queries.targets[one] for one in chosen],
    )


def ask_people(data: PreparedData) -> Asked:
    """Return turns of conversations after which a film of the catalog was recommended."""
    return ask_in_turns(data, Path(WORDS) / "redial_dev.jsonl")
