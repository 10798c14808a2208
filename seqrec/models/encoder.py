"""A decoder that encodes packed rows of histories: token vectors in, hidden states out."""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel

from seqrec.models.configuration import SeqRecConfig, padding_token
from seqrec.models.content import ContentEmbedding
from seqrec.models.document_attention import (
    attends_by_document,
    flatten_documents,
    mask_by_layer,
    use_document_attention,
)
from seqrec.models.documents import (
    additive_mask,
    document_mask,
    document_positions,
    find_document_ends,
    mask_dtype,
)
from seqrec.models.ensemble import EnsembleDecoder
from seqrec.models.frozen_states import FrozenStates
from seqrec.models.heads import build_head, read_rows
from seqrec.models.native.blocks import at_positions
from seqrec.models.native.decoder import SeqRecDecoder
from seqrec.models.native.time_bias import gap_buckets
from seqrec.models.query_token import QueryToken

DROPOUT_FIELDS = ("attention_dropout", "attn_pdrop", "resid_pdrop", "embd_pdrop")
"""Dropout rates in the configurations of language models."""


class HistoryEncoder(PreTrainedModel):
    """The part of a model that turns histories into hidden states.

    ``attention_mask`` holds document ids: 0 is padding, and the positions of one history share
    one id (1, 2, ...), so that several histories can share a row. The 1 and 0 that a tokenizer
    returns are the case of one history a row.

    With ``event_vectors: sum`` the tokens of an event share a position. Rows then hold whole
    events, and all tokens of an event have its state.

    States have the width of the catalog head's item vectors: a product of both is a score. A
    language model attends within documents (``models/document_attention.py``), without a dense
    mask; states of padding are then 0.

    A model with a time bias also takes ``times``: the time of the event at each position and the
    time up to which gaps are counted there, in microseconds since 1970, ``NO_TIME`` where
    unknown. Without ``times`` all times are unknown.
    """

    config_class = SeqRecConfig
    base_model_prefix = "seqrec"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    config: SeqRecConfig

    def __init__(self, config: SeqRecConfig) -> None:
        super().__init__(config)
        self.frozen_states: FrozenStates | None = None
        self.backbone = AutoModel.from_config(config.backbone_config)
        if config.causal and self.has_language_model:
            use_document_attention(self.backbone)
        self._add_head()
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
        self.query_token: QueryToken | None = None
        if config.query_token is not None:
            self.add_query_token(config.query_token)

    def add_query_token(self, settings: dict[str, Any]) -> None:
        """Give the model a query token with random weights, and no content.

        Args:
            settings: see ``SeqRecConfig.query_token``.
        """
        config = self.config
        config.query_token = settings
        width, num_parts = settings["width"], settings["num_parts"]
        self.query_token = QueryToken(width, config.state_width, config.num_items, num_parts)

    def _add_head(self) -> None:
        config = self.config
        self.head = build_head(
            config.head,
            num_items=config.num_items,
            padded_num_items=config.padded_num_items,
            first_item_token=config.first_item_token,
            hidden_size=config.backbone_config.hidden_size,  # type: ignore[union-attr]
            head_size=config.head_size,
        )

    @property
    def has_language_model(self) -> bool:
        """True if the decoder is one of transformers, not of seqrec's own."""
        return not isinstance(self.backbone, SeqRecDecoder | EnsembleDecoder)

    def keep_frozen_states(self, is_kept: bool) -> None:
        """Set whether states are computed once for each history, and forget those that were.

        Nothing is kept of a decoder that learns, or whose states have dropout.
        """
        settings = self.backbone.config.to_dict()
        has_dropout = any(settings.get(name) for name in DROPOUT_FIELDS)
        learns = any(weight.requires_grad for weight in self.backbone.parameters())
        can_keep = attends_by_document(self.backbone) and not learns and not has_dropout
        self.frozen_states = FrozenStates() if is_kept and can_keep else None

    @property
    def pad_token_id(self) -> int:
        """The token of padding positions."""
        return padding_token(self.config.backbone_config)

    def get_input_embeddings(self) -> nn.Module:
        return self.backbone.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.backbone.set_input_embeddings(value)

    def token_vectors(self, tokens: Int[Tensor, " S"]) -> Float[Tensor, "S D"]:
        """Return the output vectors of tokens: a state's product with one is the token's logit."""
        return self.scale_vectors(read_rows(self.get_input_embeddings(), tokens))

    def scale_vectors(self, vectors: Float[Tensor, "*shape D"]) -> Float[Tensor, "*shape D"]:
        """Return vectors whose products are scores: ``cosine_scale`` times cosines, if it is set.

        Outside of autocast they are float32 or better, also where the decoder's weights are not:
        in bfloat16 many scores would be the same number. The vectors of every ensemble member are
        normalised by themselves.
        """
        vectors, scale = _widen(vectors), self.config.cosine_scale
        if scale is None:
            return vectors
        members = vectors.unflatten(-1, (self.num_members, -1))
        return F.normalize(members, dim=-1).flatten(-2) * scale**0.5

    def read_out(self, states: Float[Tensor, "*shape D"]) -> Float[Tensor, "*shape W"]:
        """Return a decoder's states as the head reads them: a product with a vector is a score."""
        scaled = self.scale_vectors(self.head.project(_widen(states)))
        return scaled if self.config.cosine_scale is None else scaled / self.num_members

    @property
    def num_members(self) -> int:
        """Members of an ensemble, whose scores are averaged; 1 for a single decoder."""
        return getattr(self.config.backbone_config, "num_members", 1)

    def hidden_states(
        self,
        input_ids: Int[Tensor, "B T"],
        attention_mask: Int[Tensor, "B T"] | None = None,
        times: Int[Tensor, "B T 2"] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Return the hidden state at every position; a position attends to its own history only.

        Args:
            input_ids: tokens.
            attention_mask: document ids; one history a row if absent.
            times: event time and reference time of each position.
        """
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
        """Return the hidden state at the last position of every history, row by row."""
        rows, slots, query_positions = find_document_ends(documents)
        query_positions = query_positions // self.config.tokens_per_position
        if not self.has_language_model:
            states = self._decode(input_ids, documents, times, query_positions=query_positions)
            return states[rows, slots]
        return self._decode(input_ids, documents)[rows, query_positions[rows, slots]]

    def states_under(
        self,
        input_ids: Int[Tensor, "B T"],
        allowed: Bool[Tensor, "B T T"],
        positions: Int[Tensor, "B T"],
        query_positions: Int[Tensor, "B M"],
        cache: list[Any] | None = None,
    ) -> Float[Tensor, "B M D"]:
        """Return the hidden states at some positions of each row, under any attention mask.

        Args:
            input_ids: tokens.
            allowed: which keys (columns) each query (row) attends to.
            positions: position of every token in its history.
            query_positions: columns whose states are returned.
            cache: an empty list, then the same list with rows that differ only at
                ``query_positions``: native decoders compute the other positions once.
        """
        dtype = mask_dtype(self.dtype, input_ids.device)
        mask: Any = additive_mask(allowed, dtype)
        if self.has_language_model:
            mask = mask_by_layer(self.backbone, allowed, positions, dtype)
        inputs = {"input_ids": input_ids, "attention_mask": mask, "position_ids": positions}
        if not self.has_language_model:
            output = self.backbone(**inputs, query_positions=query_positions, cache=cache)
            return self.read_out(output.last_hidden_state)
        states = self.backbone(**inputs).last_hidden_state
        return self.read_out(at_positions(states, query_positions))

    def _decode(
        self,
        input_ids: Int[Tensor, "B T"],
        documents: Int[Tensor, "B T"],
        times: Int[Tensor, "B T 2"] | None = None,
        **more: Tensor,
    ) -> Float[Tensor, "B P D"]:
        """Return the states of positions: tokens, or events of ``tokens_per_position`` tokens."""
        size = self.config.tokens_per_position
        if size == 1:
            more["input_ids"] = input_ids
        else:
            more["inputs_embeds"] = self._sum_event_tokens(input_ids)
            documents = documents[:, ::size]
            times = None if times is None else times[:, size - 1 :: size]
        if attends_by_document(self.backbone):
            return self._decode_flat(documents, **more)
        if self.config.time_bias is not None and times is not None:
            more["gaps"] = gap_buckets(times)
        output = self.backbone(
            attention_mask=document_mask(
                documents,
                mask_dtype(self.dtype, input_ids.device),
                is_causal=self.config.causal,
            ),
            position_ids=document_positions(documents),
            **more,
        )
        return self.read_out(output.last_hidden_state)

    def _decode_flat(
        self, documents: Int[Tensor, "B P"], **inputs: Tensor
    ) -> Float[Tensor, "B P W"]:
        """Return the states of positions, computed in one row without padding."""
        flat = flatten_documents(documents, self.backbone)
        rows = {name: part.flatten(0, 1)[flat.positions][None] for name, part in inputs.items()}
        if self.frozen_states is not None and "input_ids" in rows:
            bounds = flat.arguments["cu_seq_lens_q"]
            states = self.frozen_states.read(self.backbone, rows["input_ids"][0], bounds)
        else:
            states = self.backbone(**rows, **flat.arguments).last_hidden_state[0]
        states = self.read_out(states)
        whole = states.new_zeros(documents.numel(), states.shape[1])
        return whole.index_copy(0, flat.positions, states).unflatten(0, documents.shape)

    def _sum_event_tokens(self, input_ids: Int[Tensor, "B T"]) -> Float[Tensor, "B P D"]:
        """Return the sum of the token vectors of every event.

        Raises:
            ValueError: rows that do not hold whole events.
        """
        size = self.config.tokens_per_position
        if input_ids.shape[1] % size:
            raise ValueError(
                f"rows of {input_ids.shape[1]} tokens: an event is {size}, and rows hold whole ones"
            )
        return self.get_input_embeddings()(input_ids).unflatten(1, (-1, size)).sum(dim=2)

    def check_length(self, documents: Int[Tensor, "B T"]) -> None:
        """Refuse a history that is longer than the model reads.

        Raises:
            ValueError: there is one.
        """
        positions = document_positions(documents).where(documents > 0, -1)
        length, longest = 1 + int(positions.max()), self.config.max_tokens
        if length > longest:
            raise ValueError(
                f"a history of {length} tokens: the model reads the last {longest}; "
                "truncation=True of its tokenizer keeps these"
            )


def _widen(vectors: Float[Tensor, "*shape D"]) -> Float[Tensor, "*shape D"]:
    """Return vectors in float32 or better; under autocast, which casts them itself, as they are."""
    if torch.is_autocast_enabled(vectors.device.type):
        return vectors
    return vectors.to(torch.promote_types(vectors.dtype, torch.float32))
