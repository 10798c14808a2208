"""Builds the tagger of a prepared folder: features of its items, and the tags that people gave."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from seqrec.data.item_columns import find_text_columns, genre_matrix, item_numbers, item_texts
from seqrec.data.item_table import ItemTable
from seqrec.data.prepared import PreparedData
from seqrec.data.splits import TRAIN
from seqrec.drafts.interaction_vectors import factorize_interactions
from seqrec.drafts.tag_vocabulary import TagVocabulary
from seqrec.drafts.tagger import Block, Tagger, build_features, fit_tagger
from seqrec.drafts.word_vectors import factorize_words
from seqrec.errors import SeqRecError
from seqrec.models.text_cache import encode_cached
from seqrec.models.text_encoder import TextEncoder

TEXT_COLUMNS = ("title", "genres", "keywords", "plot", "description", "summary")
"""Columns that the encoder reads."""
WORD_COLUMNS = (*TEXT_COLUMNS, "director", "actors", "cast")
"""Columns whose words are compared as they are."""
WATCHED_WIDTH, WORDS_WIDTH = 128, 128
WEIGHTS = {"texts": 1.35, "who watched": 1.1, "words": 0.8, "genres": 0.6, "counts": 0.6}
"""Weights of the blocks, chosen by cross-validation on tags of MovieLens-1M."""


class TagModel(NamedTuple):
    """A fitted tagger and the encoder of its texts."""

    tagger: Tagger
    fingerprint: str
    """The encoder's."""
    columns: list[str]
    """Columns of the items that it read."""


def build_tagger(prepared: PreparedData, vocabulary: TagVocabulary, encoder: str) -> TagModel:
    """Return the tagger of a catalog.

    It reads the items' texts, their words, genres, years, and who watched them in training.

    Raises:
        SeqRecError: items without words, or an encoder that cannot be loaded.
    """
    items = prepared.items()
    columns = find_text_columns(items, TEXT_COLUMNS)
    if not columns:
        raise SeqRecError(
            f"{prepared.path}: the items have none of {', '.join(TEXT_COLUMNS)}; prepare with "
            "--items"
        )
    opened = TextEncoder.from_pretrained(encoder)
    texts = [text or "" for text in item_texts(items, columns, "--data")]
    vectors = encode_cached(opened, texts)
    of_tags = encode_cached(opened, vocabulary.tags)
    features = build_features(list_blocks(prepared, ItemTable.build(items), vectors))
    tagger = fit_tagger(features, vectors @ of_tags.T, vocabulary.items, vocabulary.has_tag)
    return TagModel(tagger, opened.fingerprint, columns)


def list_blocks(
    prepared: PreparedData, table: ItemTable, vectors: Float[np.ndarray, "I F"]
) -> list[Block]:
    """Return features of items: texts, who watched them, shared words, genres, counts and years."""
    histories = prepared.histories()
    users = np.repeat(np.arange(len(histories.offsets) - 1), np.diff(histories.offsets))
    in_training = histories.split == TRAIN
    watched = histories.items[in_training].astype(np.int64)
    columns = find_text_columns(table.items, WORD_COLUMNS)
    genres = genre_matrix(table.items)
    found = {
        "texts": vectors,
        "who watched": _normalise(
            factorize_interactions(
                users[in_training],
                watched,
                prepared.num_users,
                prepared.num_items,
                width=WATCHED_WIDTH,
            )
        ),
        "words": _normalise(
            factorize_words(item_texts(table.items, columns, "--data"), width=WORDS_WIDTH)
        ),
        "genres": genres,
        "counts": list_numbers(table, np.bincount(watched, minlength=prepared.num_items)),
    }
    return [Block(name, rows, WEIGHTS[name]) for name, rows in found.items() if rows is not None]


def list_numbers(table: ItemTable, counts: Int[np.ndarray, " I"]) -> Float[np.ndarray, "I N"]:
    """Return the logarithms of counts, and years, in standard deviations from their means."""
    numbers = [np.log1p(counts)]
    if "year" in table.items.columns and table.items["year"].dtype.is_numeric():
        years = item_numbers(table.items, "year", "--data")
        known = years[np.isfinite(years)]
        numbers.append(np.nan_to_num(years, nan=known.mean() if len(known) else 0.0))
    whole = np.stack(numbers, axis=1)
    return (whole - whole.mean(axis=0)) / np.maximum(whole.std(axis=0), 1e-9)


def _normalise(rows: Float[np.ndarray, "I F"]) -> Float[np.ndarray, "I F"]:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
