"""Training on texts that name items: a loss for each of two heads over one decoder."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from seqrec.losses.catalog import catalog_cross_entropy
from seqrec.losses.softmax import CatalogScores, CatalogSoftmax
from seqrec.models.word_head import word_states, word_weight
from seqrec.training.steps.text import TextTensors

RECALL_K = 10
RECALL_KEY = f"recall@{RECALL_K}"
WORD_KEY, ITEM_KEY, LOSS_KEY = "word_loss_nats", "item_loss_nats", "loss_nats"


class TokenPlaces(NamedTuple):
    """The places of items, words and padding among the tokens of a model."""

    first_item: int
    num_items: int
    num_tokens: int
    """Tokens of the tokenizer; the rows after them are padding, which no head scores."""

    def is_item(self, labels: Int[Tensor, " M"]) -> Bool[Tensor, " M"]:
        """Return which tokens are items."""
        return (labels >= self.first_item) & (labels < self.first_item + self.num_items)


class HeadWeights(NamedTuple):
    """Weights of the losses of the two heads."""

    item: float
    word: float


class Tally:
    """Sums of losses by head over the batches of an epoch, on their device."""

    def __init__(self) -> None:
        self._sums: dict[str, list[tuple[Any, Any]]] = {}

    def add(self, key: str, total: Any, weight: Any) -> None:
        """Add a sum and the weight of what it is over."""
        self._sums.setdefault(key, []).append((total, weight))

    def take(self) -> dict[str, float]:
        """Return the mean of every loss, and start again."""
        found = {}
        for key, pairs in self._sums.items():
            weight = sum(float(weight) for _, weight in pairs)
            if weight:
                found[key] = sum(float(total) for total, _ in pairs) / weight
        self._sums = {}
        return found


class _Targets(NamedTuple):
    """Targets of one kind, with the scores of a head."""

    scores: CatalogScores
    labels: Int[Tensor, " M"]
    weight: Float[Tensor, " M"]

    def loss(self, total_weight: float, chunk_size: int | None) -> Float[Tensor, ""]:
        """Return the weighted sum of cross-entropies, divided by a weight."""
        return catalog_cross_entropy(
            self.scores.hidden,
            self.scores.item_weight,
            self.labels,
            label_weight=self.weight,
            total_weight=total_weight,
            chunk_size=chunk_size,
        )


class _Scored(NamedTuple):
    """The targets of a batch under the heads."""

    words: _Targets
    """Targets that are words, by the word head."""
    named: _Targets
    """Targets that are items, by the word head."""
    items: _Targets
    """The same, by the catalog head."""


def mixed_loss(
    model: Any,
    batch: TextTensors,
    *,
    places: TokenPlaces,
    weights: HeadWeights,
    chunk_size: int | None = None,
    tally: Tally | None = None,
) -> Float[Tensor, ""]:
    """The loss of the learned tokens of a batch, in nats.

    With ``W`` the weight of all learned tokens, it is ``weights.word / W`` times the sum of the
    word head's cross-entropies, over all tokens, plus ``weights.item / W`` times the sum of the
    catalog head's at tokens that are items, over the items alone. So the word head also learns
    where an item comes, and ``generate`` writes it there. No logits of all targets are held.

    Args:
        model: a causal language model that attends by document and has a ``catalog_head``, or an
            adapter around one.
        batch: packed texts.
        places: which tokens are items.
        weights: of the heads.
        chunk_size: positions scored at once; chosen if absent.
        tally: keeps the sums of each head's losses.
    """
    scored = _score(model, batch, places)
    word, named, item = (part.loss(batch.total_weight, chunk_size) for part in scored)
    if tally is not None:
        tally.add(WORD_KEY, word.detach() * batch.total_weight, scored.words.weight.sum())
        tally.add(ITEM_KEY, item.detach() * batch.total_weight, scored.items.weight.sum())
    return weights.word * (word + named) + weights.item * item


@torch.no_grad()
def mixed_sums(
    model: Any, batch: TextTensors, *, places: TokenPlaces, weights: HeadWeights
) -> dict[str, tuple[float, float]]:
    """Return sum and weight of the loss, of each head's own, and of the recall of items.

    Args:
        model: as of ``mixed_loss``.
        batch: packed texts.
        places: which tokens are items.
        weights: of the heads.
    """
    scored = _score(model, batch, places)
    total = batch.total_weight
    word, named, item = (float(part.loss(total, None)) * total for part in scored)
    loss = weights.word * (word + named) + weights.item * item
    sums = {LOSS_KEY: (loss, total)}
    if len(scored.words.labels):
        sums[WORD_KEY] = (word, float(scored.words.weight.sum()))
    if len(scored.items.labels):
        ranks = torch.cat(list(_count_better(scored.items.scores, scored.items.labels)))
        sums[ITEM_KEY] = (item, float(scored.items.weight.sum()))
        sums[RECALL_KEY] = (float((ranks < RECALL_K).sum()), float(len(ranks)))
    return sums


def _score(model: Any, batch: TextTensors, places: TokenPlaces) -> _Scored:
    """Return the targets of a batch under the heads."""
    states = word_states(model, batch.input_ids, batch.position_ids, batch.segments)
    hidden, is_item = states[batch.targets_at], places.is_item(batch.labels)
    plain = model.get_base_model() if hasattr(model, "get_base_model") else model
    table, head = word_weight(model), plain.catalog_head
    is_tied = getattr(plain.config, "tie_word_embeddings", True)
    vectors = head(table if is_tied else plain.get_input_embeddings().weight)
    at_words, at_items = (kind.nonzero().squeeze(1) for kind in (~is_item, is_item))
    labels, weight = batch.labels, batch.label_weight
    by_words = CatalogScores(hidden[at_words], table[: places.num_tokens])
    by_items = CatalogScores(head.project(hidden[at_items]), vectors)
    items = labels[at_items] - places.first_item
    return _Scored(
        _Targets(by_words, labels[at_words], weight[at_words]),
        _Targets(by_words._replace(hidden=hidden[at_items]), labels[at_items], weight[at_items]),
        _Targets(by_items, items, weight[at_items]),
    )


def _count_better(scores: CatalogScores, labels: Int[Tensor, " M"]) -> Iterator[Int[Tensor, " C"]]:
    """Yield, chunk by chunk of rows, how many items score above the label."""
    softmax = CatalogSoftmax(scores)
    for rows in softmax.chunks(None):
        tiles = softmax.raw_logits(rows)
        own = softmax.at_items(tiles, labels[rows, None])
        yield torch.stack([(tile > own).sum(dim=1) for tile in tiles]).sum(dim=0)
