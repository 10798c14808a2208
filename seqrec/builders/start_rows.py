"""Rows that the items of a language model start from, by the name of their source."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast

from seqrec.data.item_columns import item_texts
from seqrec.data.item_mapping import ItemMapping
from seqrec.errors import SeqRecError
from seqrec.models.start_rows import StartRows, mapped_rows, mean_rows, random_rows
from seqrec.ranking.recommender import Recommender
from seqrec.tokens.growth import encode_plain_text

TEXT, RANDOM = "text", "random"


def build_start_rows(
    source: str,
    tokenizer: PreTrainedTokenizerFast,
    items: Any,
    columns: Sequence[str],
    key: str,
) -> StartRows:
    """Return the rows that items start from in a language model's vocabulary.

    Args:
        source: ``text``: the mean of the words of the item's text; ``random``: drawn at the scale
            of the words; else a run or model folder, whose item vectors are mapped into the space
            of the words by least squares. The map is fitted to the mean of the text over the
            items that both catalogs have; all others start from their text.
        tokenizer: of the language model, before it grows by the items.
        items: a row for each item, in catalog order.
        columns: columns of the text.
        key: the setting that names the source, for errors.

    Raises:
        SeqRecError: items without text, or a model without any of the items.
    """
    if source == RANDOM:
        return random_rows(len(items))
    texts = [text or "" for text in item_texts(items, columns, key)]
    anchors = mean_rows(encode_plain_text(tokenizer, texts))
    if source == TEXT:
        return anchors
    other = Recommender.from_pretrained(source)
    rows = ItemMapping.between(other.item_ids, items["item_id"].to_list()).to_model
    if (rows < 0).all():
        raise SeqRecError(f"{key}={source}: has none of the {len(items):,} items; name another")
    found = other.item_vectors()[np.maximum(rows, 0)] * (rows >= 0)[:, None]
    return mapped_rows(torch.from_numpy(found), anchors)
