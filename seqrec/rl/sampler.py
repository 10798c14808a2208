"""How the policy is sampled: batch in, slates and their log-probabilities out."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from seqrec.models.next_item import SeqRecForNextItem
from seqrec.rl.plans import Plans
from seqrec.rl.prompts import Prompts
from seqrec.rl.slates import Drawing, PromptBatch, Slates, Step, draw, log_probs, steps_of


@dataclass(frozen=True)
class Sampler:
    """How slates are asked for."""

    num_slates: int
    slate_size: int
    drawing: Drawing
    temperature: float
    max_length: int
    """Items of a history that are read."""
    plans: Plans | None = None
    """How the policy plans before it answers, if it does."""

    def tokenize(self, model: SeqRecForNextItem, prompts: Prompts) -> PromptBatch:
        """The prompts' histories as the model reads them, with room for a slate behind each."""
        if self.plans is not None:
            return self.plans.tokenize(model, prompts.histories, self.max_length)
        room = self.slate_size - 1 if self.drawing == "autoregressive" else 0
        return PromptBatch.of(
            prompts.histories,
            first_item_token=model.config.first_item_token,
            pad_token_id=model.pad_token_id,
            max_length=self.max_length - room,
            device=model.device,
        )

    def draw(
        self, model: SeqRecForNextItem, batch: PromptBatch, generator: torch.Generator | None
    ) -> Slates:
        """As many slates as are asked for; without a generator the most probable one."""
        way = partial(draw, drawing=self.drawing) if self.plans is None else self.plans.draw
        return way(
            model,
            batch,
            num_slates=1 if generator is None else self.num_slates,
            slate_size=self.slate_size,
            temperature=1.0 if generator is None else self.temperature,
            generator=generator,
        )

    def steps(self, model: SeqRecForNextItem, batch: PromptBatch, slates: Slates) -> list[Step]:
        """The distributions that slates came from, under a model."""
        if self.plans is not None and slates.plans is not None:
            return self.plans.steps_of(
                model, batch, slates.plans, slates.items, temperature=self.temperature
            )
        return steps_of(
            model, batch, slates.items, drawing=self.drawing, temperature=self.temperature
        )

    def log_probs(self, steps: Sequence[Step], slates: Slates) -> Float[Tensor, "B G W"]:
        """Of every title, and of what was planned before, given what stands ahead of it."""
        if self.plans is not None:
            return self.plans.log_probs(steps, slates.items.shape)
        return log_probs(steps, slates.items.shape, self.drawing)

    def first_choices(self, steps: Sequence[Step], num_histories: int) -> Sequence[Step]:
        """The steps whose entropy is that of the next title, and of the plan before it."""
        return steps if self.plans is not None else [steps[0].first(num_histories)]
