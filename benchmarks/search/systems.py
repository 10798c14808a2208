"""The models under test, and scores of the whole catalog by them and their combinations."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from benchmarks.search.asked import Asked
from seqrec.builders.named_models import open_recommender
from seqrec.builders.text_search import TEXT_COLUMNS, build_text_search
from seqrec.data.item_columns import find_text_columns, item_texts
from seqrec.data.prepared import PreparedData
from seqrec.models.text_cache import encode_cached
from seqrec.models.text_encoder import TextEncoder
from seqrec.ranking.recommender import Recommender
from seqrec.ranking.text_requests import TextSearch
from seqrec.search.words import normalise_phrase

BATCH = 256
RANK_SMOOTHING = 60
"""Constant of reciprocal-rank fusion (Cormack et al. 2009)."""
WEIGHTS = (0.0, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0, 60.0)
LEVEL = 1e4
"""Added to the score of an item for every further condition that it fulfils."""


@dataclass
class Systems:
    """The models under test, and the texts of the items."""

    run: Recommender
    start: Recommender
    prepared: PreparedData
    encoder: TextEncoder
    texts: list[str]
    search: TextSearch
    """The search by words over ``run``, as ``recommend --text`` builds it."""
    other: TextEncoder | None = None
    """Another encoder of texts to compare."""

    @classmethod
    def open(cls, run: str, start: str, data: str, other: str | None = None) -> "Systems":
        """Open the models of two run folders, the data, and another text encoder."""
        prepared = PreparedData.open(data)
        models = [open_recommender(path, prepared) for path in (run, start)]
        assert all(isinstance(model, Recommender) for model in models)
        settings = models[0].model.config.query_token
        columns = find_text_columns(prepared.items(), TEXT_COLUMNS)
        return cls(
            *models,
            prepared,
            TextEncoder.from_pretrained(settings["encoder"]),
            item_texts(prepared.items(), columns, "--data"),
            build_text_search(models[0].serve()),
            None if other is None else TextEncoder.from_pretrained(other),
        ).with_cache()

    def with_cache(self) -> "Systems":
        """Return the same with a search whose vectors are kept on the disk."""
        return replace(self, search=replace(self.search, encode=self.encode))

    def encode(self, texts: Sequence[str], encoder: TextEncoder | None = None) -> np.ndarray:
        """Return the vector of every text; each is encoded once."""
        words = sorted(set(texts))
        vectors = encode_cached(encoder or self.encoder, words)
        index = {word: row for row, word in enumerate(words)}
        return vectors[[index[text] for text in texts]]

    def score_texts(self, asked: Asked, encoder: TextEncoder | None = None) -> Tensor:
        """Return the cosines of the requests and the items' texts."""
        texts = encode_cached(encoder or self.encoder, self.texts)
        return torch.from_numpy(self.encode(asked.texts, encoder) @ texts.T)

    def score_words(self, asked: Asked) -> Tensor:
        """Return BM25 of the requests' words and the items' texts, by SQLite's full-text search."""
        base = sqlite3.connect(":memory:")
        base.execute("CREATE VIRTUAL TABLE items USING fts5(text, tokenize='porter unicode61')")
        base.executemany(
            "INSERT INTO items(rowid, text) VALUES (?, ?)", enumerate(self.texts, start=1)
        )
        scores = torch.zeros(len(asked), len(self.texts))
        for row, text in enumerate(asked.texts):
            words = " OR ".join(f'"{word}"' for word in dict.fromkeys(normalise_phrase(text)))
            if not words:
                continue
            found = base.execute(
                "SELECT rowid, -bm25(items) FROM items WHERE items MATCH ?", (words,)
            ).fetchall()
            for item, score in found:
                scores[row, item - 1] = score
        return scores


@torch.inference_mode()
def score_histories(recommender: Recommender, histories: Sequence[np.ndarray]) -> Tensor:
    """Return the scores after histories alone; after an empty one the logarithm of counts."""
    parts = []
    for start in range(0, len(histories), BATCH):
        part = histories[start : start + BATCH]
        scores = recommender.score_tiles(part)(0, recommender.num_items).float()
        is_empty = torch.tensor([[not len(one)] for one in part])
        parts.append(torch.where(is_empty, scores.clamp_min(0).log1p(), scores))
    return torch.cat(parts)


def score_history(recommender: Recommender, asked: Asked) -> Tensor:
    """Return the scores after the histories of requests alone; see ``score_histories``."""
    return score_histories(recommender, asked.histories)


@torch.inference_mode()
def score_request(
    recommender: Recommender, histories: Sequence[np.ndarray], vectors: np.ndarray
) -> Tensor:
    """Return the scores of a query token after histories."""
    parts = []
    for start in range(0, len(histories), BATCH):
        asking = recommender.with_name("asking")
        asking.request = torch.from_numpy(vectors[start : start + BATCH])
        tiles = asking.score_tiles(histories[start : start + BATCH])
        parts.append(tiles(0, recommender.num_items).float())
    return torch.cat(parts)


def score_readings(systems: Systems, asked: Asked) -> Tensor:
    """Return scores by which items are listed as ``recommend --text`` does.

    Items of a compiled request follow the history, its conditions come before all scores, and the
    token reads its soft words, with the titles that it or the conversation named.
    """
    readings = [systems.search.compile(text) for text in asked.texts]
    table = systems.run.table
    histories = [
        np.concatenate([history, table.find(reading.items)[0]]).astype(np.int64)
        for history, reading in zip(asked.histories, readings, strict=True)
    ]
    ids = table.item_ids
    named = [
        replace(reading, items=tuple(ids[item] for item in dict.fromkeys(history.tolist())))
        if asked.names_histories
        else reading
        for reading, history in zip(readings, histories, strict=True)
    ]
    vectors = systems.search.encode_requests(named)
    scores = score_request(systems.run, histories, vectors)
    plain = score_histories(systems.run, histories)
    is_soft = torch.tensor([[bool(reading.text)] for reading in readings])
    scores = torch.where(is_soft, scores, plain)
    masks: dict[str, Tensor] = {}
    for row, reading in enumerate(readings):
        is_kept = torch.ones(scores.shape[1], dtype=torch.bool)
        for condition in sorted(reading.conditions, key=lambda one: not one.is_excluded):
            where = condition.where
            if where not in masks:
                masks[where] = torch.tensor(table.select_where(where))
            if condition.is_excluded:
                scores[row, ~masks[where]] = -torch.inf
            else:
                is_kept = is_kept & masks[where]
                scores[row, is_kept] += LEVEL
        left_out = [*reading.items, *reading.excluded_items]
        scores[row, torch.from_numpy(table.find(left_out)[0].astype(np.int64))] = -torch.inf
    return scores


def fuse_ranks(scores: Sequence[Tensor]) -> Tensor:
    """Return the sum of reciprocal ranks by several scores."""
    ranks = (one.argsort(dim=1, descending=True).argsort(dim=1) for one in scores)
    return torch.stack([1.0 / (RANK_SMOOTHING + 1 + rank) for rank in ranks]).sum(dim=0)
