"""Supervised fine-tuning on text: the loss of the learned tokens of a batch."""

from typing import Any

from jaxtyping import Float
from torch import Tensor

from seqrec.losses.catalog import catalog_cross_entropy
from seqrec.losses.softmax import CatalogScores
from seqrec.models.growth import get_num_tokens
from seqrec.models.word_head import word_states, word_weight
from seqrec.tokens.text.batches import TextBatch, TextPairBatch

TextTensors = TextBatch[Tensor]
TextPairTensors = TextPairBatch[Tensor]


def word_scores(model: Any, batch: TextTensors | TextPairTensors) -> CatalogScores:
    """Return the word head's scores at the targets of a batch; no other position has any.

    Rows of padding, which a vocabulary that has grown ends in, have no scores.
    """
    states = word_states(model, batch.input_ids, batch.position_ids, batch.segments)
    table, number = word_weight(model), get_num_tokens(model.config)
    return CatalogScores(
        states[batch.targets_at], table if number == len(table) else table[:number]
    )


def text_loss(
    model: Any, batch: TextTensors, *, chunk_size: int | None = None
) -> Float[Tensor, ""]:
    """The weighted mean negative log-likelihood of the learned tokens, in nats.

    Args:
        model: a causal language model that reads packed texts, or an adapter around one.
        batch: packed texts.
        chunk_size: positions scored at once; chosen if absent.
    """
    scores = word_scores(model, batch)
    return catalog_cross_entropy(
        scores.hidden,
        scores.item_weight,
        batch.labels,
        label_weight=batch.label_weight,
        total_weight=batch.total_weight,
        all_rows_count=True,
        chunk_size=chunk_size,
    )
