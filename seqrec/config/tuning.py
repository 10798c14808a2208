"""The ``tuning`` block of a language model: which of its weights are trained."""

from typing import Annotated, Literal

from pydantic import Field

from seqrec.config.block import Block
from seqrec.config.limits import MAX_FACTOR, MAX_WIDTH


class FullTuning(Block):
    name: Literal["full"] = "full"
    """Every weight is trained."""


class FrozenTuning(Block):
    name: Literal["frozen"]
    """No weight of the language model is trained, only heads and rows that were added to it."""


class LoraTuning(Block):
    name: Literal["lora"]
    """Low-rank updates of matrices are trained, beside the frozen weights (LoRA); rows that were
    added to the vocabulary are trained whole."""
    rank: int = Field(default=16, gt=0, le=MAX_WIDTH)
    """Rank of the update of a matrix."""
    alpha: float = Field(default=32.0, gt=0, le=MAX_FACTOR)
    """The update is multiplied by alpha / rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout rate of the inputs of the updates in training."""
    target_modules: Literal["all-linear"] | list[str] = "all-linear"
    """Names of the linear layers with an update, such as [q_proj, v_proj]; all-linear: all of them
    except the output head."""


TuningConfig = Annotated[FullTuning | FrozenTuning | LoraTuning, Field(discriminator="name")]
