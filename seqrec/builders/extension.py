"""Models over a larger catalog: new items get rows, and nothing else of the model changes."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from seqrec.builders.other_catalog import adapt_config
from seqrec.builders.request_content import build_new_content
from seqrec.data.item_columns import item_texts
from seqrec.data.new_items import read_id_lists
from seqrec.errors import SeqRecError
from seqrec.models import SeqRecForNextItem
from seqrec.models.carried_rows import carry_rows, start_items
from seqrec.models.content import ContentEmbedding
from seqrec.models.start_rows import StartRows, mean_rows, predicted_rows, random_rows
from seqrec.models.text_encoder import TextEncoder
from seqrec.ranking.recommender import Recommender
from seqrec.tokens.growth import encode_plain_text, replace_items
from seqrec.tokens.tokenizer import get_words, load_tokenizer

NUM_NEIGHBOURS = 10
"""Items with the nearest texts, whose mean a new item starts from."""
NEIGHBOURS = "neighbours"
"""Column of a file of items that names known items for each new one."""
NUM_CHECKED = 8
"""Known items whose stored content an encoder must reproduce."""
CONTENT_TOLERANCE = 1e-3


class TextSource(NamedTuple):
    """Texts of items as vectors."""

    encoder: str
    """A folder, an installed package, or a name on a model hub."""
    columns: Sequence[str]
    """Columns of the items that are read, one after the other."""

    def encode(self, items: Any, rows: Int[np.ndarray, " S"]) -> Float[np.ndarray, "S F"]:
        """Return the vectors of some of the items."""
        texts = item_texts(items, list(self.columns), "--columns")
        return TextEncoder.from_pretrained(self.encoder).encode([texts[row] or "" for row in rows])


def extend_model(
    recommender: Recommender,
    items: Any,
    rows: str,
    source: TextSource,
) -> tuple[SeqRecForNextItem, PreTrainedTokenizerFast]:
    """Return a recommender's model over a larger catalog, and its tokenizer.

    The rows of its own items and all other weights stay, bit for bit.

    Args:
        recommender: of a folder; is not changed.
        items: a row for every item of the larger catalog: the recommender's, then the new ones.
        rows: what the rows of new items come from: ``content``, ``text``, ``words``,
            ``neighbours`` or ``random``.
        source: gives the content, or the nearest items by text.

    Raises:
        SeqRecError: items without the column that the rows come from, or another encoder than that
            of the model's content.
    """
    assert recommender.folder is not None
    tokenizer = load_tokenizer(recommender.folder)
    item_ids, num_old = items["item_id"].to_list(), recommender.num_items
    grown = replace_items(tokenizer, recommender.item_ids, item_ids)
    vocabulary = tokenizer.get_vocab()
    tokens = torch.tensor([vocabulary.get(word, -1) for word in get_words(grown)])
    kept = torch.arange(len(item_ids))
    kept[num_old:] = -1
    config = adapt_config(recommender.model.config, grown, item_ids)
    start = None
    if rows != "content" and len(items) > num_old:
        start = _build_start(recommender, items, rows, source)
    with torch.random.fork_rng(devices=[]):
        model = carry_rows(recommender.model, kept, tokens, config)
        if start is not None:
            start_items(model, num_old, start)
    embedding = model.get_input_embeddings()
    if isinstance(embedding, ContentEmbedding) and len(items) > num_old:
        content = _read_content(recommender, items, source)
        embedding.content[num_old:] = torch.from_numpy(content)
    settings = model.config.query_token
    if model.query_token is not None and settings is not None and settings["num_parts"]:
        described = build_new_content(settings, items, num_old)
        model.query_token.content[num_old:] = torch.from_numpy(described)
    return model, grown


def choose_rows(recommender: Recommender, has_neighbours: bool, named: str | None) -> str:
    """Return what the rows of new items come from.

    Args:
        recommender: the model.
        has_neighbours: the file of items names neighbours.
        named: as the user says; None: content if the model reads it, else named neighbours if
            there are any, else the nearest items by text.

    Raises:
        SeqRecError: the model does not go with it.
    """
    has_content = isinstance(recommender.model.get_input_embeddings(), ContentEmbedding)
    if named is None:
        return "content" if has_content else "neighbours" if has_neighbours else "text"
    if named == "neighbours" and not has_neighbours:
        raise SeqRecError(f"--rows neighbours: the file of items has no column {NEIGHBOURS!r}")
    has_words = recommender.model.has_language_model
    if has_content != (named == "content") or (named == "words" and not has_words):
        reads = "reads content" if has_content else "reads no content"
        if named == "words" and not has_content:
            reads = "is no language model"
        use = "content" if has_content else "text, neighbours or random"
        raise SeqRecError(f"--rows {named}: {recommender.name} {reads}; use {use}")
    return named


def _build_start(recommender: Recommender, items: Any, rows: str, source: TextSource) -> StartRows:
    """Return the start of the new items' rows from those of the old ones."""
    num_old = recommender.num_items
    if rows == "random":
        return random_rows(len(items) - num_old)
    if rows == "neighbours":
        return mean_rows(_find_named(recommender, items[num_old:]))
    if rows == "words":
        vectors = _read_words(recommender, items, source.columns)
        return predicted_rows(vectors[:num_old], vectors[num_old:])
    vectors = torch.from_numpy(source.encode(items, np.arange(len(items))))
    is_met = torch.from_numpy(recommender.items["num_interactions"].to_numpy() > 0)
    old, new = vectors[:num_old], vectors[num_old:]
    usable = (old.any(dim=1) & (is_met | ~is_met.any())).nonzero().squeeze(1)
    products = new @ old[usable].T
    nearest = usable[products.topk(min(NUM_NEIGHBOURS, len(usable)), dim=1).indices]
    has_text = new.any(dim=1).tolist()
    pairs = zip(nearest.tolist(), has_text, strict=True)
    return mean_rows([near if has else [] for near, has in pairs])


def _read_words(
    recommender: Recommender, items: Any, columns: Sequence[str]
) -> Float[Tensor, "I D"]:
    """Return the mean of the words of every item's text, by a language model's own embeddings."""
    assert recommender.folder is not None
    tokenizer = load_tokenizer(recommender.folder)
    texts = [text or "" for text in item_texts(items, list(columns), "--columns")]
    words: Any = recommender.model.get_input_embeddings()
    table = words.weight.detach().cpu()
    tokens = encode_plain_text(tokenizer, texts)
    none = table.new_zeros(table.shape[1])
    return torch.stack([table[row].mean(dim=0) if row else none for row in tokens])


def _find_named(recommender: Recommender, new: Any) -> list[list[int]]:
    """Return the named neighbours of new items.

    Raises:
        SeqRecError: an item with no neighbour that the model knows.
    """
    named = read_id_lists(new[NEIGHBOURS])
    found = [recommender.table.find(ids)[0].tolist() for ids in named]
    for item_id, ids, rows in zip(new["item_id"], named, found, strict=True):
        if not rows:
            raise SeqRecError(
                f"item {item_id}: none of its {len(ids)} {NEIGHBOURS} is an item of "
                f"{recommender.name}; name known items, as a list or between |"
            )
    return found


def _read_content(
    recommender: Recommender, items: Any, source: TextSource
) -> Float[np.ndarray, "W F"]:
    """Return the content of the new items, from the encoder of the model's own.

    Raises:
        SeqRecError: the encoder and columns do not give the content that the model holds.
    """
    embedding = recommender.model.get_input_embeddings()
    assert isinstance(embedding, ContentEmbedding)
    num_old = recommender.num_items
    checked = np.linspace(0, num_old - 1, min(num_old, NUM_CHECKED)).astype(int)
    rows = np.concatenate([checked, np.arange(num_old, len(items))])
    content = source.encode(items, rows)
    known, new = content[: len(checked)], content[len(checked) :]
    stored = embedding.content[torch.from_numpy(checked)].numpy()
    if known.shape != stored.shape or not np.allclose(known, stored, atol=CONTENT_TOLERANCE):
        raise SeqRecError(
            f"--encoder {source.encoder} --columns {','.join(source.columns)}: do not give the "
            f"content of {recommender.name}; name the encoder and the columns that it was trained "
            "with (model.content in its config.yaml)"
        )
    return new
