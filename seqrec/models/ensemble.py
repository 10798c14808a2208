"""Several decoders with the interface of one wide decoder."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput


class EnsembleConfig(PreTrainedConfig):
    """Configuration of several decoders of one shape."""

    model_type = "seqrec_ensemble"
    sub_configs = {"member_config": AutoConfig}

    member_config: dict | PreTrainedConfig
    num_members: int

    def __post_init__(self, **kwargs):
        if isinstance(self.member_config, dict):
            fields = dict(self.member_config)
            self.member_config = AutoConfig.for_model(fields.pop("model_type"), **fields)
        super().__post_init__(**kwargs)

    def _member(self) -> PreTrainedConfig:
        assert not isinstance(self.member_config, dict)
        return self.member_config

    @property
    def hidden_size(self) -> int:
        """Width of the concatenated states of all members."""
        return self.num_members * self._member().hidden_size

    @property
    def vocab_size(self) -> int:
        """Tokens that every member reads."""
        return self._member().vocab_size

    @property
    def num_hidden_layers(self) -> int:
        return self._member().num_hidden_layers

    @property
    def max_position_embeddings(self) -> int:
        return self._member().max_position_embeddings

    @property
    def time_bias(self) -> str | None:
        return self._member().time_bias

    @property
    def relative_bias(self) -> bool:
        return self._member().relative_bias

    @property
    def initializer_range(self) -> float:
        return self._member().initializer_range

    @property
    def pad_token_id(self) -> int | None:
        return self._member().pad_token_id


class EnsembleDecoder(PreTrainedModel):
    """Concatenation of the members' states, divided by their number, and of their embeddings.

    The product of a state and an item vector is then the mean of the members' scores; its softmax
    is the normalised geometric mean of the members' distributions.

    Source: Hinton 2002, "Training Products of Experts", for the mean of scores; Lakshminarayanan
        et al. 2017, arXiv:1612.01474, for members that differ only in their random weights.
    """

    config_class = EnsembleConfig
    base_model_prefix = "backbone"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    config: EnsembleConfig

    def __init__(self, config: EnsembleConfig) -> None:
        super().__init__(config)
        members = range(config.num_members)
        self.members = nn.ModuleList(AutoModel.from_config(config.member_config) for _ in members)
        self.embed_tokens: nn.Module | None = None
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Initialise what is not a member's as a member would; members have done their own."""
        self.decoders()[0]._init_weights(module)

    def get_input_embeddings(self) -> nn.Module:
        if self.embed_tokens is not None:
            return self.embed_tokens
        tables = [member.get_input_embeddings() for member in self.decoders()]
        return SideBySide(tables)  # type: ignore[arg-type]

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Set one wide embedding, of which every member reads its own columns."""
        self.embed_tokens = value
        width = self.config.hidden_size // len(self.members)
        for number, member in enumerate(self.decoders()):
            member.set_input_embeddings(Columns(value, slice(number * width, (number + 1) * width)))

    def decoders(self) -> list[PreTrainedModel]:
        """Return the members."""
        return list(self.members)  # type: ignore[arg-type]

    def forward(
        self,
        input_ids: Int[Tensor, "B T"] | None = None,
        attention_mask: Float[Tensor, "B 1 T T"] | None = None,
        position_ids: Int[Tensor, "B T"] | None = None,
        inputs_embeds: Float[Tensor, "B T D"] | None = None,
        cache: list[list[Tensor]] | None = None,
        **more: Tensor,
    ) -> BaseModelOutput:
        """Return the hidden state of every position; ``cache`` holds one list per member."""
        if cache is not None and not cache:
            cache.extend([] for _ in self.members)
        own: Sequence[Tensor | None] = [None] * len(self.members)
        if inputs_embeds is None and self.embed_tokens is not None:
            input_ids, inputs_embeds = None, self.embed_tokens(input_ids)
        if inputs_embeds is not None:
            own = inputs_embeds.chunk(len(self.members), dim=-1)
        states = [
            member(
                input_ids=input_ids,
                inputs_embeds=own[number],
                attention_mask=attention_mask,
                position_ids=position_ids,
                **more,
                **({} if cache is None else {"cache": cache[number]}),
            ).last_hidden_state
            for number, member in enumerate(self.members)
        ]
        return BaseModelOutput(last_hidden_state=torch.cat(states, dim=-1) / len(states))


class SideBySide(nn.Module):
    """Several embedding tables as one wide table, without weights of its own."""

    def __init__(self, tables: list[nn.Embedding]) -> None:
        super().__init__()
        self._tables = tuple(tables)  # a tuple is not registered: the members own them

    @property
    def weight(self) -> Float[Tensor, "V D"]:
        """The concatenated tables."""
        return torch.cat([table.weight for table in self._tables], dim=1)

    def forward(self, tokens: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape D"]:
        return torch.cat([table(tokens) for table in self._tables], dim=-1)


class Columns(nn.Module):
    """Some columns of a wide embedding, without weights of its own."""

    def __init__(self, table: nn.Module, columns: slice) -> None:
        super().__init__()
        self._table = (table,)  # a tuple is not registered: the ensemble owns it
        self._columns = columns

    @property
    def weight(self) -> Float[Tensor, "V D"]:
        """The columns of the rows, a view."""
        table: Any = self._table[0]
        return table.weight[:, self._columns]

    def forward(self, tokens: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape D"]:
        return self._table[0](tokens)[..., self._columns]
