"""The model that answers a history with the next title."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel
from transformers.utils import ModelOutput

from seqrec.losses.bias import ExcludedItems, LogitBias, Rows
from seqrec.losses.softmax import CatalogScores
from seqrec.models.configuration import SeqRecConfig, padding_token
from seqrec.models.content import ContentEmbedding
from seqrec.models.documents import (
    document_mask,
    document_positions,
    find_document_ends,
    last_positions,
)
from seqrec.models.ensemble import EnsembleDecoder
from seqrec.models.heads import TiedCatalogHead, UntiedCatalogHead
from seqrec.models.native.blocks import at_positions
from seqrec.models.native.decoder import SeqRecDecoder
from seqrec.models.native.time_bias import gap_buckets
from seqrec.models.transition_prior import (
    TransitionPrior,
    last_items,
    last_items_after,
)


@dataclass
class NextItemOutput(ModelOutput):
    """What ``SeqRecForNextItem`` answers."""

    last_hidden_state: Float[Tensor, "B T D"] | None = None
    logits: Float[Tensor, "B I"] | None = None
    """Score of every item as the next one after each history."""


class SeqRecForNextItem(PreTrainedModel):
    """A decoder under a catalog head.

    ``attention_mask`` numbers the histories that share a row: 0 is padding, and positions of one
    history carry one number (1, 2, ...). The mask that a tokenizer returns, 1 and 0, is the
    common case of it.

    Where the tokens of an event share a position (``event_vectors`` is ``sum``), rows are of whole
    events, and all tokens of one have its state.

    A model with a time bias also takes ``times``: when the event of each position was, and to
    when gaps are counted there, in microseconds since 1970, ``NO_TIME`` where that is unknown. It
    knows of no time without.
    """

    config_class = SeqRecConfig
    base_model_prefix = "seqrec"
    config: SeqRecConfig

    def __init__(self, config: SeqRecConfig) -> None:
        super().__init__(config)
        self.backbone = AutoModel.from_config(config.backbone_config)
        if config.content is not None:
            tokens = self.get_input_embeddings()
            self.set_input_embeddings(
                ContentEmbedding(
                    tokens.weight,  # type: ignore[arg-type]
                    num_items=config.num_items,
                    first_item_token=config.first_item_token,
                    **config.content,
                )
            )
        self.head: TiedCatalogHead | UntiedCatalogHead
        if config.head == "tied":
            self.head = TiedCatalogHead(config.num_items, config.first_item_token)
        else:
            width = self.backbone.config.hidden_size
            self.head = UntiedCatalogHead(config.num_items, config.padded_num_items, width)
        self.transition_prior: TransitionPrior | None = None
        if config.transition_prior is not None:
            self.transition_prior = TransitionPrior(config.num_items, **config.transition_prior)
        self.post_init()

    @property
    def pad_token_id(self) -> int:
        """The token of positions that no history reads."""
        return padding_token(self.config.backbone_config)

    def get_input_embeddings(self) -> nn.Module:
        return self.backbone.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.backbone.set_input_embeddings(value)

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, UntiedCatalogHead):
            nn.init.normal_(module.table.weight, std=self.backbone.config.initializer_range)

    def item_weight(self) -> Float[Tensor, "I D"]:
        """The vector of every item; a hidden state's product with it is the item's score."""
        tokens = self.get_input_embeddings()
        table = tokens.table() if isinstance(tokens, ContentEmbedding) else tokens.weight
        return self.scale_vectors(self.head(table))

    @property
    def num_learned(self) -> int:
        """The number of items that training meets, which come first in the catalog.

        All items, or for a model with content those up to the last one that has a row.
        """
        tokens = self.get_input_embeddings()
        return tokens.num_met if isinstance(tokens, ContentEmbedding) else self.config.num_items

    def item_vectors(self, items: Int[Tensor, " S"]) -> Float[Tensor, "S D"]:
        """The vectors of some items, without touching the others' rows."""
        return self.scale_vectors(self.head.rows(self.get_input_embeddings(), items))

    def token_vectors(self, tokens: Int[Tensor, " S"]) -> Float[Tensor, "S D"]:
        """The vectors of tokens, by which a state scores which of them is said next."""
        return self.scale_vectors(self.get_input_embeddings()(tokens))

    def scale_vectors(self, vectors: Float[Tensor, "*shape D"]) -> Float[Tensor, "*shape D"]:
        """Of the length at which products are cosines times the head's scale, if it has one."""
        scale = self.config.cosine_scale
        return vectors if scale is None else F.normalize(vectors, dim=-1) * scale**0.5

    def decode_items(self, input_ids: Int[Tensor, "B T"]) -> Int[Tensor, "B T"]:
        """The item of every token, -1 where it is none."""
        blocks = self.config.item_blocks
        return blocks.decode(input_ids.unflatten(-1, (-1, blocks.length)))

    @property
    def active_prior(self) -> TransitionPrior | None:
        """The transition prior, if the model has one that counts."""
        prior = self.transition_prior
        return prior if prior is not None and prior.strength else None

    def recent_items(
        self, input_ids: Int[Tensor, "B T"], documents: Int[Tensor, "B T"]
    ) -> Int[Tensor, "B T S"] | None:
        """The last items up to every position, the most recent first, -1 where there are fewer.

        The transition prior is conditioned on them; None without one that counts.

        Args:
            input_ids: tokens.
            documents: number of the history that each position belongs to.
        """
        prior = self.active_prior
        if prior is None:
            return None
        return last_items(self.decode_items(input_ids), documents, prior.max_steps)

    def recent_items_after(
        self, histories: Sequence[Int[np.ndarray, " T"]]
    ) -> Int[Tensor, "B S"] | None:
        """``recent_items`` at the ends of histories of items, each of which may be empty."""
        prior = self.active_prior
        if prior is None:
            return None
        return last_items_after(histories, prior.max_steps).to(self.device)

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
        """The catalog's scores after each state, whose softmax is the next item's distribution.

        An item's logit is ``(hidden @ item_vector + prior) / temperature``, where ``prior`` is
        what the transition prior adds, if the model has one.

        The softmax of every training objective is over the learned items (``num_learned``), and
        so are slates that a policy draws: cold-start items have content and no row, and as wrong
        answers everywhere they would teach their content to score low. Teachers and references
        are scored over the items of the model that is trained. Serving and evaluation rank the
        whole catalog. Without content both are the same items.

        Args:
            hidden: states, one row per distribution.
            recent_items: the last items of each row, which ``recent_items`` gives at its position.
            labels: in training, the item that came next, below 0 where that is unknown: the prior
                leaves its own occurrence out of the counts.
            excluded_items: items of each row that have no probability; -1 is none.
            temperature: divides the logits.
            num_items: size of the softmax, the first items of the catalog; ``num_learned`` if
                absent.
            item_weight: ``item_weight()``, where a caller scores several times with one.
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
        """The scores of every member of an ensemble; a model without members is its only one."""
        if not isinstance(self.backbone, EnsembleDecoder):
            return [scores]
        number = self.backbone.config.num_members
        states, vectors = (whole.chunk(number, dim=1) for whole in scores[:2])
        return [
            scores._replace(hidden=number * state, item_weight=own)
            for state, own in zip(states, vectors, strict=True)
        ]

    def use_sparse_gradients(self, is_sparse: bool) -> None:
        """Whether looking up tokens and items gives gradients of their rows alone."""
        tables = [self.get_input_embeddings()]
        if isinstance(self.head, UntiedCatalogHead):
            tables.append(self.head.table)
        for table in tables:
            if isinstance(table, nn.Embedding):
                table.sparse = is_sparse

    def hidden_states(
        self,
        input_ids: Int[Tensor, "B T"],
        attention_mask: Int[Tensor, "B T"] | None = None,
        times: Int[Tensor, "B T 2"] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """The decoder's output at every position; histories that share a row never meet."""
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        states = self._decode(input_ids, attention_mask, times)
        size = self.config.tokens_per_position
        return states if size == 1 else states.repeat_interleave(size, dim=1)

    def document_states(
        self,
        input_ids: Int[Tensor, "B T"],
        documents: Int[Tensor, "B T"],
        times: Int[Tensor, "B T 2"] | None = None,
    ) -> Float[Tensor, "H D"]:
        """The decoder's output at the last position of every history, row by row."""
        rows, place, query_positions = find_document_ends(documents)
        query_positions = query_positions // self.config.tokens_per_position
        if isinstance(self.backbone, SeqRecDecoder | EnsembleDecoder):
            states = self._decode(input_ids, documents, times, query_positions=query_positions)
            return states[rows, place]
        return self._decode(input_ids, documents)[rows, query_positions[rows, place]]

    def states_under(
        self,
        input_ids: Int[Tensor, "B T"],
        allowed: Bool[Tensor, "B T T"],
        positions: Int[Tensor, "B T"],
        query_positions: Int[Tensor, "B M"],
        cache: list[Any] | None = None,
    ) -> Float[Tensor, "B M D"]:
        """The decoder's output at some positions of each row.

        Args:
            input_ids: tokens.
            allowed: what each position (row) may read (column).
            positions: of every token in its history.
            query_positions: the positions, as columns, that are asked for.
            cache: an empty list, and then the same list with rows in which nothing but tokens at
                ``query_positions`` is new: native decoders do the others' work once.
        """
        dtype = self._products_dtype(input_ids.device)
        mask = torch.zeros(allowed.shape, dtype=dtype, device=input_ids.device)
        mask = mask.masked_fill_(~allowed, torch.finfo(dtype).min)[:, None]
        given = {"input_ids": input_ids, "attention_mask": mask, "position_ids": positions}
        if isinstance(self.backbone, SeqRecDecoder | EnsembleDecoder):
            output = self.backbone(**given, query_positions=query_positions, cache=cache)
            return self.scale_vectors(output.last_hidden_state)
        states = self.backbone(**given).last_hidden_state
        return self.scale_vectors(at_positions(states, query_positions))

    def _products_dtype(self, device: torch.device) -> torch.dtype:
        if torch.is_autocast_enabled(device.type):
            return torch.get_autocast_dtype(device.type)
        return self.dtype

    def _decode(
        self,
        input_ids: Int[Tensor, "B T"],
        documents: Int[Tensor, "B T"],
        times: Int[Tensor, "B T 2"] | None = None,
        **more: Tensor,
    ) -> Float[Tensor, "B P D"]:
        """The states of positions: of tokens, or of the events that ``size`` of them are."""
        size = self.config.tokens_per_position
        if size == 1:
            more["input_ids"] = input_ids
        else:
            more["inputs_embeds"] = self._event_vectors(input_ids)
            documents = documents[:, ::size]
            times = None if times is None else times[:, size - 1 :: size]
        if self.config.time_bias is not None and times is not None:
            more["gaps"] = gap_buckets(times)
        output = self.backbone(
            attention_mask=document_mask(
                documents,
                self._products_dtype(input_ids.device),
                is_causal=self.config.causal,
            ),
            position_ids=document_positions(documents),
            **more,
        )
        return self.scale_vectors(output.last_hidden_state)

    def _event_vectors(self, input_ids: Int[Tensor, "B T"]) -> Float[Tensor, "B P D"]:
        """The sum of every event's tokens' vectors.

        Raises:
            ValueError: rows that are not of whole events.
        """
        size = self.config.tokens_per_position
        if input_ids.shape[1] % size:
            raise ValueError(
                f"rows of {input_ids.shape[1]} tokens: an event is {size}, and rows hold whole ones"
            )
        return self.get_input_embeddings()(input_ids).unflatten(1, (-1, size)).sum(dim=2)

    def _check_length(self, documents: Int[Tensor, "B T"]) -> None:
        positions = document_positions(documents).where(documents > 0, -1)
        length, longest = 1 + int(positions.max()), self.config.max_tokens
        if length > longest:
            raise ValueError(
                f"a history of {length} tokens: the model reads the last {longest}; "
                "truncation=True of its tokenizer keeps these"
            )

    def forward(
        self,
        input_ids: Int[Tensor, "B T"],
        attention_mask: Int[Tensor, "B T"] | None = None,
        times: Int[Tensor, "B T 2"] | None = None,
    ) -> NextItemOutput:
        """Scores of the whole catalog after the last position of each row that is not padding.

        Raises:
            ValueError: a history that is longer than the model reads.
        """
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        self._check_length(attention_mask)
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
        return NextItemOutput(last_hidden_state=hidden, logits=logits)
