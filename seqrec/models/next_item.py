"""The next-item model: a history encoder under a catalog head."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

from seqrec.losses.bias import ExcludedItems, LogitBias, Rows
from seqrec.losses.catalog import catalog_cross_entropy
from seqrec.losses.softmax import CatalogScores
from seqrec.models.configuration import SeqRecConfig
from seqrec.models.content import ContentEmbedding
from seqrec.models.document_attention import use_document_attention
from seqrec.models.documents import last_positions
from seqrec.models.encoder import HistoryEncoder
from seqrec.models.heads import CatalogHead
from seqrec.models.transition_prior.counts import TransitionPrior
from seqrec.models.transition_prior.kinds import build_transition_prior
from seqrec.models.transition_prior.recent_items import last_items, last_items_after


@dataclass
class NextItemOutput(ModelOutput):
    """Output of ``SeqRecForNextItem``."""

    loss: Float[Tensor, ""] | None = None
    """Cross-entropy of the labels in nats, if they were given."""
    last_hidden_state: Float[Tensor, "B T D"] | None = None
    logits: Float[Tensor, "B I"] | None = None
    """Score of every item as the next one after each history."""


class SeqRecForNextItem(HistoryEncoder):
    """A history encoder whose states score every item of the catalog.

    Inputs are those of ``HistoryEncoder``: packed rows, events that share a position, times.
    """

    def __init__(self, config: SeqRecConfig) -> None:
        super().__init__(config)
        self.word_head: nn.Linear | None = None
        self.word_settings: Any = None
        """Settings by which the language model below generates text."""
        if config.word_head and not getattr(config.backbone_config, "tie_word_embeddings", True):
            width, num_tokens = self.backbone.config.hidden_size, self.backbone.config.vocab_size
            self.word_head = nn.Linear(width, num_tokens, bias=False)
        self.transition_prior: TransitionPrior | None = None
        if config.transition_prior is not None:
            self.transition_prior = build_transition_prior(
                config.num_items, config.transition_prior
            )
        self.post_init()

    @classmethod
    def over(cls, config: SeqRecConfig, language_model: PreTrainedModel) -> Self:
        """Return a model over the decoder of a language model, which it shares; heads are new.

        Args:
            config: its ``backbone_config`` is that of the decoder.
            language_model: with its word head, which is kept if ``config`` has one.
        """
        with torch.device("meta"):  # a second decoder takes no memory
            model = cls(config)
        model.backbone = language_model.base_model
        model.word_settings = language_model.generation_config
        use_document_attention(model.backbone)
        model._add_head()
        model.head.init_weights(model.backbone.config.initializer_range)
        if model.word_head is not None:
            model.word_head = language_model.get_output_embeddings()  # type: ignore[assignment]
        if config.transition_prior is not None:
            model.transition_prior = build_transition_prior(
                config.num_items, config.transition_prior
            )
        return model

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, CatalogHead):
            module.init_weights(self.backbone.config.initializer_range)

    def word_weight(self) -> Float[Tensor, "V D"]:
        """Return the vector of every token, padding included, of a model with a word head.

        A decoder's state has a token's logit as its product with it. States are those of
        ``hidden_states``: a word head goes with heads that do not project them.
        """
        if not self.config.word_head:
            raise ValueError("the model answers with items alone; set word_head in its config")
        tokens: Any = self.get_input_embeddings() if self.word_head is None else self.word_head
        return tokens.weight

    def item_weight(self) -> Float[Tensor, "I D"]:
        """Return the vector of every item; a hidden state's product with it is the score."""
        tokens = self.get_input_embeddings()
        table = tokens.table() if isinstance(tokens, ContentEmbedding) else tokens.weight
        return self.scale_vectors(self.head(table))

    def request_item_weight(self) -> Float[Tensor, "I E"]:
        """Return the vector of every item for the states of requests, with its content."""
        assert self.query_token is not None
        return self.query_token.item_vectors(self.item_weight()[: self.config.num_items])

    @property
    def num_learned(self) -> int:
        """The number of items that occur in training, which come first in the catalog.

        All items; for a model with content, the items up to the last one that has a row.
        """
        tokens = self.get_input_embeddings()
        return tokens.num_met if isinstance(tokens, ContentEmbedding) else self.config.num_items

    def item_vectors(self, items: Int[Tensor, " S"]) -> Float[Tensor, "S D"]:
        """Return the vectors of some items without reading the other rows."""
        return self.scale_vectors(self.head.rows(self.get_input_embeddings(), items))

    def decode_items(self, input_ids: Int[Tensor, "B T"]) -> Int[Tensor, "B T"]:
        """Return the item of every token, -1 for tokens of no item."""
        blocks = self.config.item_blocks
        return blocks.decode(input_ids.unflatten(-1, (-1, blocks.length)))

    @property
    def active_prior(self) -> TransitionPrior | None:
        """The transition prior, if the model has one of non-zero strength."""
        prior = self.transition_prior
        return prior if prior is not None and prior.strength else None

    def recent_items(
        self, input_ids: Int[Tensor, "B T"], documents: Int[Tensor, "B T"]
    ) -> Int[Tensor, "B T S"] | None:
        """Return the last items up to every position, latest first, -1 where there are fewer.

        The transition prior is conditioned on them. None without an active prior.

        Args:
            input_ids: tokens.
            documents: document id of each position.
        """
        prior = self.active_prior
        if prior is None:
            return None
        return last_items(self.decode_items(input_ids), documents, prior.num_recent)

    def recent_items_after(
        self, histories: Sequence[Int[np.ndarray, " T"]]
    ) -> Int[Tensor, "B S"] | None:
        """Return ``recent_items`` at the ends of histories of items, each of which may be empty."""
        prior = self.active_prior
        if prior is None:
            return None
        return last_items_after(histories, prior.num_recent).to(self.device)

    def catalog_scores(
        self,
        hidden: Float[Tensor, "N D"],
        recent_items: Int[Tensor, "N S"] | None = None,
        *,
        labels: Int[Tensor, " N"] | None = None,
        excluded_items: Int[Tensor, "N M"] | None = None,
        temperature: float = 1.0,
        num_items: int | None = None,
        item_weight: Float[Tensor, "I D"] | None = None,
    ) -> CatalogScores:
        """Return the catalog's scores after each state; their softmax predicts the next item.

        An item's logit is ``(hidden @ item_vector + prior) / temperature``, where ``prior`` is
        the log-probability of the transition prior times its strength, if the model has one.

        The softmax of every training objective is over the learned items (``num_learned``), and
        so are slates that a policy draws. Cold-start items have content but no row; as negatives
        of every position they would teach their content to score low. Teachers and references
        are scored over the learned items of the trained model. Serving and evaluation rank the
        whole catalog. Without content both sets are the same.

        Args:
            hidden: states, one row per distribution.
            recent_items: last items of each row, from ``recent_items`` at its position.
            labels: in training, the next item, below 0 where unknown: the prior removes this
                occurrence from its counts.
            excluded_items: items of each row with probability 0; -1 is padding.
            temperature: divisor of the logits.
            num_items: size of the softmax, over the first items of the catalog; ``num_learned``
                if absent.
            item_weight: ``item_weight()``, for a caller that scores several times with it.
        """
        prior = self.active_prior
        weight = self.item_weight() if item_weight is None else item_weight
        bias: LogitBias | None = None
        if prior is not None and recent_items is not None:

            def bias(rows: Rows, tile: slice) -> Float[Tensor, "C tile"]:
                following = None if labels is None else labels[rows]
                added = prior.logits(recent_items[rows], tile.start, tile.stop, following)
                return added if temperature == 1 else added / temperature

        if excluded_items is not None:
            bias = ExcludedItems(excluded_items, bias)
        if temperature != 1:
            hidden = hidden / temperature
        return CatalogScores(
            hidden, weight[: self.num_learned if num_items is None else num_items], bias
        )

    def per_member(self, scores: CatalogScores) -> list[CatalogScores]:
        """Return the scores of every ensemble member; a model without members is its only one."""
        number = self.num_members
        if number == 1:
            return [scores]
        states, vectors = (whole.chunk(number, dim=1) for whole in scores[:2])
        return [
            scores._replace(hidden=number * state, item_weight=own)
            for state, own in zip(states, vectors, strict=True)
        ]

    def use_sparse_gradients(self, is_sparse: bool) -> None:
        """Set whether lookups of tokens and items give sparse gradients, of the read rows only."""
        for table in [self.get_input_embeddings(), *self.head.tables]:
            if isinstance(table, nn.Embedding):
                table.sparse = is_sparse

    def forward(
        self,
        input_ids: Int[Tensor, "B T"],
        attention_mask: Int[Tensor, "B T"] | None = None,
        times: Int[Tensor, "B T 2"] | None = None,
        labels: Int[Tensor, "B T"] | None = None,
    ) -> NextItemOutput:
        """Return the scores of all items after the last position of each row that is not padding.

        Args:
            input_ids: tokens.
            attention_mask: document ids; one history a row if absent.
            times: event time and reference time of each position.
            labels: tokens, for a loss by the convention of causal language models: they are the
                ``input_ids``, and the state at a position predicts the label of the next one.
                ``IGNORE_INDEX`` (-100), tokens of no learned item and the first position of a
                history count nothing.

        Raises:
            ValueError: a history that is longer than the model reads; labels for a model whose
                states have read the next token.
        """
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        self.check_length(attention_mask)
        hidden = self.hidden_states(input_ids, attention_mask, times)
        last = last_positions(attention_mask)
        rows = torch.arange(len(hidden), device=hidden.device)
        recent = self.recent_items(input_ids, attention_mask)
        scores = self.catalog_scores(
            hidden[rows, last],
            None if recent is None else recent[rows, last],
            num_items=self.config.num_items,
        )
        logits = scores.logits(slice(0, self.config.num_items))
        loss = None
        if labels is not None:
            loss = self._next_token_loss(hidden, recent, attention_mask, labels)
        return NextItemOutput(loss=loss, last_hidden_state=hidden, logits=logits)

    def _next_token_loss(
        self,
        hidden: Float[Tensor, "B T D"],
        recent_items: Int[Tensor, "B T S"] | None,
        documents: Int[Tensor, "B T"],
        labels: Int[Tensor, "B T"],
    ) -> Float[Tensor, ""]:
        """Return the cross-entropy of the next items over the learned ones."""
        if not self.config.causal or self.config.tokens_per_position > 1:
            raise ValueError("labels: the states of this model have read the next token")
        items = self.decode_items(labels.clamp_min(0))[:, 1:]
        follows = (documents[:, 1:] == documents[:, :-1]) & (documents[:, 1:] > 0)
        is_counted = follows & (labels[:, 1:] >= 0) & (items >= 0) & (items < self.num_learned)
        recent = None if recent_items is None else recent_items[:, :-1][is_counted]
        own = items[is_counted] if self.training else None
        scores = self.catalog_scores(hidden[:, :-1][is_counted], recent, labels=own)
        return catalog_cross_entropy(
            scores.hidden, scores.item_weight, items[is_counted], logit_bias=scores.logit_bias
        )
