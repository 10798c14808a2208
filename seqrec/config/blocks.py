"""The four blocks of a recipe together, for rules between their settings."""

from typing import NamedTuple

from seqrec.config.data import DataConfig
from seqrec.config.model import ModelConfig
from seqrec.config.objective_config import ObjectiveConfig
from seqrec.config.trainer import TrainerConfig


class Blocks(NamedTuple):
    """The four blocks of a recipe."""

    data: DataConfig
    model: ModelConfig
    objective: ObjectiveConfig
    trainer: TrainerConfig

    @property
    def starts_pretrained(self) -> bool:
        """Training starts from a saved model, whose event features the run takes over."""
        return self.model.from_pretrained is not None

    @property
    def learned_features(self) -> list[str]:
        """Event features that the model learns to predict."""
        events = self.data.events
        return [feature.name for feature in events.features if feature.is_learned] if events else []

    @property
    def has_fixed_prior(self) -> bool:
        """The recipe sets the strength of the transition prior."""
        prior = self.model.transition_prior
        return prior is not None and prior.strength is not None
