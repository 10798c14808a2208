"""The ``objective`` block of recipes that train on text."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from seqrec.config.block import Block
from seqrec.config.limits import MAX_EPOCHS, MAX_FACTOR, MAX_ITEMS, MAX_ROWS
from seqrec.config.objective import (
    DivergenceConfig,
    DPOConfig,
    ForwardKLConfig,
    IPOConfig,
    KTOConfig,
    SimPOConfig,
)


class TextSFTConfig(Block):
    name: Literal["text_sft"]
    """Next-token prediction: of the assistant's words in chats, of completions, or of texts."""
    chunk_size: int | None = Field(default=None, gt=0, le=MAX_ROWS)
    """Positions scored at once; null: chosen for vocabulary and device."""


TextPreferenceLossConfig = Annotated[
    DPOConfig | IPOConfig | SimPOConfig | KTOConfig, Field(discriminator="name")
]


class AnswerGuardConfig(Block):
    num_prompts: int = Field(default=8, gt=0, le=MAX_EPOCHS)
    """Held-out prompts that are answered before training and after each epoch."""
    max_tokens: int = Field(default=80, gt=0, le=MAX_ITEMS)
    """Longest answer."""
    max_kl_nats: float = Field(default=0.5, gt=0, le=MAX_FACTOR)
    """Largest fall of the log-probability of the start's answers, in nats a token."""
    max_length_change: float = Field(default=0.5, gt=0, le=MAX_FACTOR)
    """Largest relative change of the length of answers."""


class TextPreferenceConfig(Block):
    name: Literal["text_preference"]
    """Chosen against rejected answers to a prompt."""
    loss: TextPreferenceLossConfig = DPOConfig()
    """Loss of the answers."""
    sft_share: float = Field(default=0.1, ge=0, lt=1)
    """Share of the loss that is next-token prediction of the chosen answers."""
    guard: AnswerGuardConfig | None = None
    """Limits on the change of answers: epochs beyond them are not selected, and where none is
    within them the start's weights are kept; null: no limits."""


class TextDistillationConfig(Block):
    name: Literal["text_distillation"]
    """Predict another language model's distribution over the next token."""
    teacher: str
    """Language model with the same vocabulary, named like model.backbone."""
    loss: DivergenceConfig = ForwardKLConfig()
    """Divergence from the teacher."""
    top_k: int | None = Field(default=None, gt=0, le=MAX_ITEMS)
    """Number of the teacher's most likely tokens that are computed once for each learned token and
    kept in memory in place of the teacher; null: the teacher answers in every step."""
    sft_share: float = Field(default=0.1, ge=0, lt=1)
    """Share of the loss that is next-token prediction."""

    @model_validator(mode="after")
    def _check_top_k(self) -> "TextDistillationConfig":
        if self.top_k is not None and self.loss != ForwardKLConfig():
            raise ValueError("top_k goes with loss forward_kl at temperature 1")
        return self


TextObjectiveUnion = Annotated[
    TextSFTConfig | TextPreferenceConfig | TextDistillationConfig, Field(discriminator="name")
]
