"""Preference optimization of a language model: DPO, IPO, SimPO and KTO on answers to prompts."""

from functools import partial
from typing import Any

import torch

from seqrec.config.text_objective import TextPreferenceConfig
from seqrec.config.text_recipe import TextRecipe
from seqrec.objectives.preference import build_preference_loss
from seqrec.objectives.text import TextObjective, say
from seqrec.objectives.text_setup import Batching, TextSetup
from seqrec.tokens.text.batches import batch_pairs
from seqrec.tokens.text.examples import TextEncoder, TextPair
from seqrec.tokens.text.stream import TextStream
from seqrec.training.accounting import training_dtype
from seqrec.training.fit import get_device
from seqrec.training.language_module import count_sums
from seqrec.training.steps.text_preference import (
    TextReference,
    answer_log_probs,
    get_answers,
    text_pair_metrics,
    text_preference_loss,
)
from seqrec.training.tensors import as_tensors, move_batch


class TextPreferenceObjective(TextObjective):
    """Trains a language model on chosen and rejected answers."""

    @classmethod
    def get_batching(cls, recipe: TextRecipe, encoder: TextEncoder) -> Batching:
        is_kto = get_config(recipe).loss.name == "kto"

        def encode(record: Any, name: str) -> Any:
            return encoder.encode_pair(record, name, is_labelled=is_kto and "label" in record)

        def build(pairs: Any, numbers: Any, get: Any) -> Any:
            return batch_pairs(pairs, numbers, [get(one + 1) for one in numbers] if is_kto else ())

        return Batching(encode, _measure, build)

    @classmethod
    def build_setup(
        cls, recipe: TextRecipe, opened: Any, train: TextStream, held: TextStream
    ) -> TextSetup:
        config = get_config(recipe)
        loss = build_preference_loss(config.loss)
        has_reference = config.loss.name != "simpo"
        references = [
            TextReference(len(stream.index.lengths)) if has_reference else None
            for stream in (train, held)
        ]

        def sums(model: Any, batch: Any) -> dict[str, tuple[float, float]]:
            policy = answer_log_probs(model, batch)
            reference = policy if references[1] is None else references[1].get(batch)
            losses = loss(policy, reference, get_answers(batch))
            metrics = text_pair_metrics(policy, reference, batch)
            return count_sums({"loss_nats": losses, **metrics})

        batch_loss = partial(text_preference_loss, loss=loss, reference=references[0])
        return TextSetup(batch_loss, sums, perplexity_of=None, references=references)

    def before(self) -> None:
        """Compute the reference's log-probabilities, which are those of the start."""
        super().before()
        trainer = self.recipe.trainer
        dtype = training_dtype(trainer.precision, trainer.accelerator)
        device = get_device(trainer.accelerator)
        for reference, stream in zip(
            self.setup.references, (self.train, self.held_out), strict=True
        ):
            if reference is None or not len(stream.index.lengths):
                continue
            say(f"reference: log-probabilities of {len(stream.index.lengths):,} prompts' answers")
            self.model.to(device).eval()
            batches = (move_batch(as_tensors(batch), device) for batch in stream.in_order())
            with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                reference.fill(self.model, batches)
        self.model.train()


def get_config(recipe: TextRecipe) -> TextPreferenceConfig:
    """Return the objective block, which must be that of preference optimization on text."""
    assert recipe.objective.name == "text_preference"
    return recipe.objective


def _measure(pair: TextPair) -> tuple[int, float]:
    return len(pair.prompt) + len(pair.chosen) + len(pair.rejected), 1.0
