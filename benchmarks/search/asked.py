"""Requests to judge search by: tags of the next item, turns of conversations, films half recalled.

The files are those of people: a line ``{"item_id", "tags"}`` an item, ``{"dialog", "turns",
"named", "relevant"}`` a turn (ReDial), and ``{"id", "query", "relevant"}`` a request for one film.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seqrec.data.prepared import PreparedData
from seqrec.evaluation.protocol import Split, build_queries

NAMED_YEAR = re.compile(r"\s*\(\d{4}\)")
TURNS_READ = 3
"""Last turns of a conversation that make the request."""


@dataclass(frozen=True)
class Asked:
    """Requests with their histories and the items that answer them."""

    groups: np.ndarray
    """The user or conversation of every request."""
    histories: list[np.ndarray]
    texts: list[str]
    targets: list[np.ndarray]
    has_word: np.ndarray | None = None
    """True where people gave an item the requested tag, by request; None for other requests."""
    names_histories: bool = False
    """The histories are the titles that the conversation named, which belong to the request."""

    def __len__(self) -> int:
        return len(self.texts)

    def first(self, number: int | None) -> "Asked":
        """Return the first requests; all of them for None."""
        return self._select(np.arange(len(self))[:number])

    def draw(self, number: int | None) -> "Asked":
        """Return so many of the requests, drawn with a seed; all of them for None."""
        return self._select(np.random.default_rng(0).permutation(len(self))[:number])

    def _select(self, rows: np.ndarray) -> "Asked":
        return Asked(
            self.groups[rows],
            [self.histories[row] for row in rows],
            [self.texts[row] for row in rows],
            [self.targets[row] for row in rows],
            None if self.has_word is None else self.has_word[rows],
            self.names_histories,
        )


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def ask_for_tags(prepared: PreparedData, tags: Path, split: Split, seed: int) -> Asked:
    """Return for each user whose target has tags one of them, drawn with a seed, as the request."""
    queries = build_queries(prepared.histories(), split, "last")
    of_id = {line["item_id"]: line["tags"] for line in read_lines(tags)}
    of_item = [of_id.get(item_id, []) for item_id in prepared.items()["item_id"]]
    rng = np.random.default_rng(seed)
    rows = [row for row, target in enumerate(queries.targets) if of_item[int(target[0])]]
    texts = [str(rng.choice(of_item[int(queries.targets[row][0])])) for row in rows]
    holds = {tag: np.array([tag in some for some in of_item]) for tag in set(texts)}
    return Asked(
        np.array([int(queries.users[row]) for row in rows]),
        [np.asarray(queries.histories[row]) for row in rows],
        texts,
        [queries.targets[row] for row in rows],
        np.array([holds[text] for text in texts]),
    )


def ask_in_turns(prepared: PreparedData, file: Path) -> Asked:
    """Return the turns of conversations after which a film of the catalog was recommended."""
    row_of = {item_id: row for row, item_id in enumerate(prepared.items()["item_id"])}
    groups, histories, texts, targets = [], [], [], []
    for line in read_lines(file):
        relevant = [row_of[item_id] for item_id in line["relevant"] if item_id in row_of]
        named = [row_of[item_id] for item_id in line["named"] if item_id in row_of]
        left = [item for item in relevant if item not in named]
        if left:
            groups.append(line["dialog"])
            histories.append(np.array(named, dtype=np.int64))
            texts.append(NAMED_YEAR.sub("", " ".join(line["turns"][-TURNS_READ:])))
            targets.append(np.array(left))
    _, numbers = np.unique(groups, return_inverse=True)
    return Asked(numbers, histories, texts, targets, names_histories=True)


def ask_half_remembered(prepared: PreparedData, file: Path) -> Asked:
    """Return requests for films of the catalog that somebody half remembers."""
    row_of = {item_id: row for row, item_id in enumerate(prepared.items()["item_id"])}
    lines = [line for line in read_lines(file) if line["relevant"][0] in row_of]
    nothing = np.empty(0, dtype=np.int64)
    return Asked(
        np.arange(len(lines)),
        [nothing] * len(lines),
        [line["query"] for line in lines],
        [np.array([row_of[line["relevant"][0]]]) for line in lines],
    )
