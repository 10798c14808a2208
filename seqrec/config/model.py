"""The ``model`` block: decoder and catalog head."""

from typing import Literal

from pydantic import Field, model_validator

from seqrec.config.block import Block


class ModelConfig(Block):
    block: Literal["sasrec", "llama"] = "llama"
    """Style of the blocks: SASRec's, pre-norm, or Llama's."""
    hidden_size: int = Field(default=64, gt=0)
    """Width."""
    intermediate_size: int = Field(default=256, gt=0)
    """Inner width of the feed-forward."""
    num_hidden_layers: int = Field(default=2, gt=0)
    """Blocks."""
    num_attention_heads: int = Field(default=2, gt=0)
    """Attention heads; the width is a multiple of them."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Share dropped in training."""
    head: Literal["tied", "untied"] = "tied"
    """Score items by their token embeddings, or by rows of the head's own."""
    initializer_range: float = Field(default=0.02, gt=0)
    """Standard deviation of the initial weights."""

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "ModelConfig":
        if self.hidden_size % (2 * self.num_attention_heads):
            raise ValueError(
                f"hidden_size {self.hidden_size} must be a multiple of twice "
                f"num_attention_heads {self.num_attention_heads}"
            )
        return self
