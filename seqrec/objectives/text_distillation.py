"""Distillation of language models: a smaller one learns what a larger one predicts."""

from functools import partial
from typing import Any

import torch

from seqrec.builders.language_model import prepare_for_texts, source_fingerprint, weights_dtype
from seqrec.config.objective import JensenShannonConfig
from seqrec.config.text_objective import TextDistillationConfig
from seqrec.config.text_recipe import TextRecipe
from seqrec.errors import SeqRecError
from seqrec.models.language_model import load_language_model
from seqrec.objectives.text import TextObjective, say
from seqrec.objectives.text_setup import Batching, TextSetup
from seqrec.objectives.text_sft import sum_losses, text_batching
from seqrec.tokens.text.examples import ExampleEncoder
from seqrec.tokens.text.stream import TextStream
from seqrec.training.accounting import training_dtype
from seqrec.training.fit import get_device
from seqrec.training.language_module import LOSS_KEY
from seqrec.training.steps.text_distillation import (
    TextTopK,
    cached_text_distillation_loss,
    text_distillation_loss,
)
from seqrec.training.tensors import as_tensors, move_batch


class TextDistillationObjective(TextObjective):
    """Trains a language model on another one's predictions."""

    @classmethod
    def get_sources(cls, recipe: TextRecipe) -> dict[str, Any]:
        return {"teacher_fingerprint": source_fingerprint(get_config(recipe).teacher)}

    @classmethod
    def get_batching(cls, recipe: TextRecipe, encoder: ExampleEncoder) -> Batching:
        return text_batching(encoder)

    @classmethod
    def build_setup(
        cls, recipe: TextRecipe, opened: Any, train: TextStream, held: TextStream
    ) -> TextSetup:
        config = get_config(recipe)
        teacher, words = load_language_model(config.teacher, dtype=weights_dtype(recipe))
        if words.get_vocab() != opened.tokenizer.get_vocab():
            raise SeqRecError(
                f"objective.teacher {config.teacher}: has another vocabulary than model.backbone; "
                "use a teacher of the same family"
            )
        prepare_for_texts(teacher)
        teacher.requires_grad_(False)
        shared: dict[str, Any] = {
            "num_words": len(opened.tokenizer),
            "label_share": config.sft_share,
        }
        if config.top_k is not None:
            cache = TextTopK(config.top_k)
            fill_cache(recipe, cache, teacher, train, len(opened.tokenizer))
            loss: Any = partial(cached_text_distillation_loss, cache=cache, **shared)
        else:
            loss = partial(
                text_distillation_loss,
                teacher=teacher,
                kind=config.loss.name,
                share=config.loss.share if isinstance(config.loss, JensenShannonConfig) else 0.5,
                temperature=config.loss.temperature,
                **shared,
            )
        return TextSetup(loss, sum_losses, perplexity_of=LOSS_KEY)


def fill_cache(
    recipe: TextRecipe, cache: TextTopK, teacher: Any, stream: TextStream, num_words: int
) -> None:
    """Compute the teacher's most likely tokens at every target."""
    trainer = recipe.trainer
    dtype = training_dtype(trainer.precision, trainer.accelerator)
    device = get_device(trainer.accelerator)
    say(f"teacher: the {cache.k} most likely tokens at {int(stream.index.weights.sum()):,} places")
    batches = (move_batch(as_tensors(batch), device) for batch in stream.in_order())
    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        cache.fill(teacher.to(device), num_words, batches)


def get_config(recipe: TextRecipe) -> TextDistillationConfig:
    """Return the objective block, which must be that of distillation on text."""
    assert recipe.objective.name == "text_distillation"
    return recipe.objective
