"""The recipe: the four blocks that ``train`` reads."""

from typing import Annotated

from pydantic import Field, model_validator

from seqrec.config.block import Block
from seqrec.config.blocks import Blocks
from seqrec.config.compatibility import find_conflict
from seqrec.config.data import DataConfig
from seqrec.config.model import ModelConfig
from seqrec.config.objective import (
    DistillationConfig,
    PreferenceConfig,
    RewardModelConfig,
    SFTConfig,
)
from seqrec.config.rl import RLConfig
from seqrec.config.search_objective import SearchConfig
from seqrec.config.trainer import TrainerConfig


class Recipe(Block):
    """The settings of one training run."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    objective: Annotated[
        SFTConfig
        | PreferenceConfig
        | DistillationConfig
        | RLConfig
        | RewardModelConfig
        | SearchConfig,
        Field(discriminator="name"),
    ]
    """The training objective, chosen by its name."""
    trainer: TrainerConfig = TrainerConfig()

    @model_validator(mode="after")
    def _blocks_are_compatible(self) -> "Recipe":
        conflict = find_conflict(Blocks(self.data, self.model, self.objective, self.trainer))
        if conflict is not None:
            raise ValueError(conflict)
        return self
