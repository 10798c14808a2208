"""Preference optimization of a language model: DPO, IPO, SimPO and KTO on answers to prompts."""

from functools import partial
from pathlib import Path
from typing import Any

import torch

from seqrec.config.text_objective import AnswerGuardConfig, TextPreferenceConfig
from seqrec.config.text_recipe import TextRecipe
from seqrec.models.adapters import reset_adapter
from seqrec.objectives.interface import RunOutcome
from seqrec.objectives.preference import build_preference_loss
from seqrec.objectives.text import TextObjective, say
from seqrec.objectives.text_setup import Batching, TextSetup
from seqrec.tokens.text.batches import batch_pairs
from seqrec.tokens.text.examples import ExampleEncoder, TextPair
from seqrec.tokens.text.stream import TextStream
from seqrec.training.accounting import training_dtype
from seqrec.training.answer_guard import PAST_GUARD, AnswerGuard
from seqrec.training.epoch_log import read_log
from seqrec.training.fit import LOG_FILE, FitResult, get_device
from seqrec.training.language_module import LOSS_KEY, count_sums
from seqrec.training.module import SELECTION
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
    def get_batching(cls, recipe: TextRecipe, encoder: ExampleEncoder) -> Batching:
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
            weighted = (float((batch.pair_weight * losses).sum()), batch.total_pair_weight)
            return {**count_sums(metrics), LOSS_KEY: weighted}

        batch_loss = partial(
            text_preference_loss, loss=loss, reference=references[0], sft_share=config.sft_share
        )
        guard = None
        if config.guard is not None:
            stream = held if len(held.index.lengths) else train
            guard = build_guard(config.guard, stream, int(opened.tokenizer.eos_token_id))
        return TextSetup(batch_loss, sums, perplexity_of=None, references=references, guard=guard)

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
        if self.setup.guard is not None:
            self.setup.guard.start(self.model.to(device))
        self.model.train()

    def after(self, folder: Path, fit: FitResult) -> RunOutcome:
        outcome = super().after(folder, fit)
        if self.setup.guard is None or not fit.has_validation:
            return outcome
        if any(line[SELECTION] < PAST_GUARD for line in read_log(folder / LOG_FILE)):
            return outcome
        say(
            "objective.guard: the answers of every epoch moved further than it allows; the start's "
            "weights are kept; lower trainer.learning_rate, or raise objective.loss.beta"
        )
        if hasattr(self.model, "get_base_model"):
            reset_adapter(self.model)
        else:
            self.model.load_state_dict(self.open_model(self.recipe).model.state_dict())
        return outcome._replace(best_epoch=0)


def build_guard(config: AnswerGuardConfig, stream: TextStream, end_token_id: int) -> AnswerGuard:
    """Return the guard of the first prompts of a stream."""
    number = min(config.num_prompts, len(stream.index.lengths))
    limits = config.model_dump(exclude={"num_prompts"})
    prompts = [stream.encode_number(one).prompt.tolist() for one in range(number)]
    return AnswerGuard(prompts, end_token_id=end_token_id, **limits)


def get_config(recipe: TextRecipe) -> TextPreferenceConfig:
    """Return the objective block, which must be that of preference optimization on text."""
    assert recipe.objective.name == "text_preference"
    return recipe.objective


def _measure(pair: TextPair) -> tuple[int, float]:
    return len(pair.prompt) + len(pair.chosen) + len(pair.rejected), 1.0
