"""The model that says how much somebody would like a title: a history with its ratings, a title."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

from seqrec.models.blocks import Dropout
from seqrec.models.configuration import SeqRecRewardConfig
from seqrec.models.decoder import SeqRecDecoder
from seqrec.models.heads import TiedCatalogHead, UntiedCatalogHead
from seqrec.models.next_item import document_mask, document_positions, ends_of_documents


@dataclass
class RewardOutput(ModelOutput):
    """What ``SeqRecForReward`` answers."""

    last_hidden_state: Float[Tensor, "B T D"] | None = None
    logits: Float[Tensor, "B T"] | None = None
    """Of the candidate after each position being liked."""


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
        """The logit of a title being liked by whom the state is of.

        Args:
            state: of the history.
            vector: of the title.
            items: which title it is.
        """
        product = state * vector
        joint = torch.cat([state, vector, product], dim=-1)
        deep = self.down_proj(self.dropout(F.gelu(self.up_proj(joint)))).squeeze(-1)
        return product.sum(dim=-1) / math.sqrt(state.shape[-1]) + self.item_bias[items] + deep


class SeqRecForReward(PreTrainedModel):
    """A causal decoder over titles and their ratings, under a head that judges one title more.

    A title's input is the sum of its vector and its rating's. Every history begins with a
    position that holds no title, so that one without a title has a state, too.
    """

    config_class = SeqRecRewardConfig
    base_model_prefix = "seqrec"
    config: SeqRecRewardConfig

    def __init__(self, config: SeqRecRewardConfig) -> None:
        super().__init__(config)
        self.backbone = SeqRecDecoder(config.backbone_config)  # type: ignore[arg-type]
        width = self.backbone.config.hidden_size
        self.embed_ratings = nn.Embedding(config.num_rating_rows, width)
        self.items: TiedCatalogHead | UntiedCatalogHead
        if config.head == "tied":
            self.items = TiedCatalogHead(config.num_items, config.first_item_token)
        else:
            self.items = UntiedCatalogHead(config.num_items, config.padded_num_items, width)
        self.head = RewardHead(config.num_items, width, config.intermediate_size, config.dropout)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.backbone.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.backbone.set_input_embeddings(value)

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=self.backbone.config.initializer_range)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    def hidden_states(
        self,
        input_ids: Int[Tensor, "B T"],
        ratings: Int[Tensor, "B T"],
        documents: Int[Tensor, "B T"],
        read_at: Int[Tensor, "B M"] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """The state at every position, which knows it and what is before it in its history.

        Args:
            input_ids: tokens of titles.
            ratings: rows of the rating embedding.
            documents: number of the history within its row, from 1; 0 is padding.
            read_at: positions of each row that are asked for; all if absent.
        """
        is_low = torch.is_autocast_enabled(input_ids.device.type)
        dtype = torch.get_autocast_dtype(input_ids.device.type) if is_low else self.dtype
        output = self.backbone(
            inputs_embeds=self.get_input_embeddings()(input_ids) + self.embed_ratings(ratings),
            attention_mask=document_mask(documents, dtype),
            position_ids=document_positions(documents),
            read_at=read_at,
        )
        return output.last_hidden_state

    def states(
        self,
        input_ids: Int[Tensor, "B T"],
        ratings: Int[Tensor, "B T"],
        documents: Int[Tensor, "B T"],
    ) -> Float[Tensor, "H D"]:
        """The state at the end of every history, row by row."""
        rows, place, read_at = ends_of_documents(documents)
        return self.hidden_states(input_ids, ratings, documents, read_at)[rows, place]

    def judge(
        self, state: Float[Tensor, "*shape D"], items: Int[Tensor, "*shape"]
    ) -> Float[Tensor, "*shape"]:
        """The logit of every title being liked by whom the state beside it is of."""
        flat = self.items.rows(self.get_input_embeddings(), items.flatten())
        return self.head(state, flat.view(*items.shape, -1), items)

    def judge_slates(
        self, state: Float[Tensor, "S D"], slates: Int[Tensor, "S K"]
    ) -> Float[Tensor, " S"]:
        """The mean logit of every slate's titles; -1 is none."""
        is_title = slates >= 0
        logits = self.judge(state[:, None].expand(-1, slates.shape[1], -1), slates.clamp_min(0))
        return (logits * is_title).sum(dim=1) / is_title.sum(dim=1).clamp_min(1)

    def forward(
        self,
        input_ids: Int[Tensor, "B T"],
        ratings: Int[Tensor, "B T"],
        candidates: Int[Tensor, "B T"],
        attention_mask: Int[Tensor, "B T"] | None = None,
        **_: object,
    ) -> RewardOutput:
        """The logit of a candidate after every position; ``attention_mask`` numbers histories."""
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        hidden = self.hidden_states(input_ids, ratings, attention_mask)
        return RewardOutput(last_hidden_state=hidden, logits=self.judge(hidden, candidates))
