"""The reward model: predicts from a user's rated history whether the user likes an item."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

from seqrec.models.configuration import SeqRecRewardConfig, padding_token
from seqrec.models.documents import (
    document_mask,
    document_positions,
    find_document_ends,
    mask_dtype,
)
from seqrec.models.heads import build_head
from seqrec.models.native.blocks import Dropout
from seqrec.models.native.decoder import SeqRecDecoder


@dataclass
class RewardOutput(ModelOutput):
    """Output of ``SeqRecForReward``."""

    last_hidden_state: Float[Tensor, "B T D"] | None = None
    logits: Float[Tensor, "B T"] | None = None
    """Logit that the candidate after each position is liked."""


class RewardHead(nn.Module):
    """``state @ vector / sqrt(D) + bias + MLP([state, vector, state * vector])``."""

    def __init__(
        self, num_items: int, hidden_size: int, intermediate_size: int, dropout: float
    ) -> None:
        super().__init__()
        self.item_bias = nn.Parameter(torch.zeros(num_items))
        self.up_proj = nn.Linear(3 * hidden_size, intermediate_size)
        self.down_proj = nn.Linear(intermediate_size, 1)
        self.dropout = Dropout(dropout)

    def forward(
        self,
        state: Float[Tensor, "*shape D"],
        vector: Float[Tensor, "*shape D"],
        items: Int[Tensor, "*shape"],
    ) -> Float[Tensor, "*shape"]:
        """Return the logit that an item is liked by the user of a state.

        Args:
            state: state of the history.
            vector: vector of the item.
            items: the item, which has a bias.
        """
        product = state * vector
        joint = torch.cat([state, vector, product], dim=-1)
        deep = self.down_proj(self.dropout(F.gelu(self.up_proj(joint)))).squeeze(-1)
        return product.sum(dim=-1) / math.sqrt(state.shape[-1]) + self.item_bias[items] + deep


class RewardMember(nn.Module):
    """A causal decoder over items and their ratings, under a head that scores one more item.

    The input of a position is the sum of its item's and its rating's vector.
    """

    def __init__(self, config: SeqRecRewardConfig) -> None:
        super().__init__()
        self.backbone = SeqRecDecoder(config.backbone_config)  # type: ignore[arg-type]
        width = self.backbone.config.hidden_size
        self.embed_ratings = nn.Embedding(config.num_rating_rows, width)
        self.items = build_head(
            config.head,
            num_items=config.num_items,
            padded_num_items=config.padded_num_items,
            first_item_token=config.first_item_token,
            hidden_size=width,
        )
        self.head = RewardHead(config.num_items, width, config.intermediate_size, config.dropout)

    def hidden_states(
        self, input_ids: Int[Tensor, "B T"], ratings: Int[Tensor, "B T"], **more: Tensor | None
    ) -> Float[Tensor, "B T D"]:
        """Return the hidden states of the decoder over items and their ratings."""
        vectors = self.backbone.get_input_embeddings()(input_ids) + self.embed_ratings(ratings)
        return self.backbone(inputs_embeds=vectors, **more).last_hidden_state

    def forward(
        self, state: Float[Tensor, "*shape D"], items: Int[Tensor, "*shape"]
    ) -> Float[Tensor, "*shape"]:
        """Return the logit that each item is liked by the user of its state."""
        flat = self.items.rows(self.backbone.get_input_embeddings(), items.flatten())
        return self.head(state, flat.view(*items.shape, -1), items)


class SeqRecForReward(PreTrainedModel):
    """Predicts whether a user likes an item: the mean logit of independently trained members.

    Every history begins with a position without an item, so that an empty history has a state.
    A state is the concatenation of the members' states.
    """

    config_class = SeqRecRewardConfig
    base_model_prefix = "seqrec"
    config: SeqRecRewardConfig

    def __init__(self, config: SeqRecRewardConfig) -> None:
        super().__init__(config)
        self.judges = nn.ModuleList(RewardMember(config) for _ in range(config.num_members))
        self.post_init()

    def members(self) -> list[RewardMember]:
        """Return the ensemble members."""
        return list(self.judges)  # type: ignore[arg-type]

    @property
    def backbone(self) -> SeqRecDecoder:
        """The first member's decoder; the other members have the same shape."""
        return self.members()[0].backbone

    @property
    def pad_token_id(self) -> int:
        """The token of padding positions."""
        return padding_token(self.config.backbone_config)

    def get_input_embeddings(self) -> nn.Module:
        return self.backbone.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.backbone.set_input_embeddings(value)

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            std = self.config.backbone_config.initializer_range  # type: ignore[union-attr]
            nn.init.normal_(module.weight, std=std)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    def hidden_states(
        self,
        input_ids: Int[Tensor, "B T"],
        ratings: Int[Tensor, "B T"],
        documents: Int[Tensor, "B T"],
        query_positions: Int[Tensor, "B M"] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Return the state at every position, which depends on it and on earlier positions.

        Args:
            input_ids: tokens of items.
            ratings: rows of the rating embedding.
            documents: document id of the history within its row, from 1; 0 is padding.
            query_positions: positions of each row that are returned; all if absent.
        """
        dtype = mask_dtype(self.dtype, input_ids.device)
        more = {
            "attention_mask": document_mask(documents, dtype),
            "position_ids": document_positions(documents),
            "query_positions": query_positions,
        }
        states = [member.hidden_states(input_ids, ratings, **more) for member in self.members()]
        return torch.cat(states, dim=-1)

    def states(
        self,
        input_ids: Int[Tensor, "B T"],
        ratings: Int[Tensor, "B T"],
        documents: Int[Tensor, "B T"],
    ) -> Float[Tensor, "H D"]:
        """Return the state at the end of every history, row by row."""
        rows, slots, query_positions = find_document_ends(documents)
        return self.hidden_states(input_ids, ratings, documents, query_positions)[rows, slots]

    def member_logits(
        self, state: Float[Tensor, "*shape D"], items: Int[Tensor, "*shape"]
    ) -> Float[Tensor, "M *shape"]:
        """Return every member's logits of the items being liked by the users of the states."""
        members = self.members()
        parts = state.chunk(len(members), dim=-1)
        return torch.stack(
            [member(part, items) for member, part in zip(members, parts, strict=True)]
        )

    def mean_logits(
        self, state: Float[Tensor, "*shape D"], items: Int[Tensor, "*shape"]
    ) -> Float[Tensor, "*shape"]:
        """Return the mean logit of the members."""
        return self.member_logits(state, items).mean(dim=0)

    def slate_logits(
        self, state: Float[Tensor, "S D"], slates: Int[Tensor, "S K"]
    ) -> Float[Tensor, "M S"]:
        """Return the mean logit of every slate's items, by member; -1 is padding."""
        is_item = slates >= 0
        states = state[:, None].expand(-1, slates.shape[1], -1)
        logits = self.member_logits(states, slates.clamp_min(0))
        return (logits * is_item).sum(dim=2) / is_item.sum(dim=1).clamp_min(1)

    def forward(
        self,
        input_ids: Int[Tensor, "B T"],
        ratings: Int[Tensor, "B T"],
        candidates: Int[Tensor, "B T"],
        attention_mask: Int[Tensor, "B T"] | None = None,
    ) -> RewardOutput:
        """Return the logit of a candidate after every position.

        ``attention_mask`` holds document ids, as in ``hidden_states``.
        """
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        hidden = self.hidden_states(input_ids, ratings, attention_mask)
        return RewardOutput(last_hidden_state=hidden, logits=self.mean_logits(hidden, candidates))
