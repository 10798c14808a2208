"""The recipe of a run that trains a language model on text."""

from seqrec.config.block import Block
from seqrec.config.text import LanguageModelConfig, TextDataConfig, TextTrainerConfig
from seqrec.config.text_objective import TextObjectiveUnion


class TextRecipe(Block):
    """The settings of one training run on text."""

    data: TextDataConfig = TextDataConfig()
    model: LanguageModelConfig
    objective: TextObjectiveUnion
    """The training objective, chosen by its name."""
    trainer: TextTrainerConfig = TextTrainerConfig()
