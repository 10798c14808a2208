"""Supervised fine-tuning of a language model: chats, completions and plain texts."""

from functools import partial
from typing import Any

from seqrec.config.text_objective import TextSFTConfig
from seqrec.config.text_recipe import TextRecipe
from seqrec.objectives.text import TextObjective
from seqrec.objectives.text_setup import Batching, TextSetup
from seqrec.tokens.text.batches import batch_texts
from seqrec.tokens.text.examples import ExampleEncoder, TextExample
from seqrec.tokens.text.stream import TextStream
from seqrec.training.language_module import LOSS_KEY
from seqrec.training.steps.text import text_loss


class TextSFTObjective(TextObjective):
    """Trains a language model on the learned tokens of texts."""

    @classmethod
    def get_batching(cls, recipe: TextRecipe, encoder: ExampleEncoder) -> Batching:
        return text_batching(encoder)

    @classmethod
    def build_setup(
        cls, recipe: TextRecipe, opened: Any, train: TextStream, held: TextStream
    ) -> TextSetup:
        config = get_config(recipe)
        return TextSetup(
            partial(text_loss, chunk_size=config.chunk_size), sum_losses, perplexity_of=LOSS_KEY
        )


def get_config(recipe: TextRecipe) -> TextSFTConfig:
    """Return the objective block, which must be that of SFT on text."""
    assert recipe.objective.name == "text_sft"
    return recipe.objective


def text_batching(encoder: ExampleEncoder) -> Batching:
    """Return how texts become batches."""
    return Batching(
        encoder.encode, _measure, lambda examples, numbers, _: batch_texts(examples, numbers)
    )


def sum_losses(model: Any, batch: Any) -> dict[str, tuple[float, float]]:
    """Return the weighted sum of the negative log-likelihoods of a batch, and their weight."""
    loss = text_loss(model, batch)
    return {LOSS_KEY: (float(loss) * batch.total_weight, batch.total_weight)}


def _measure(example: TextExample) -> tuple[int, float]:
    return len(example.tokens), float(example.weight[1:].sum())
