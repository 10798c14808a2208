"""Slates drawn without replacement from the distribution after the history."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from seqrec.losses.sampling import draw_slates
from seqrec.losses.slate import catalog_slate_log_prob
from seqrec.losses.softmax import CatalogScores
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.rl.branches import encode
from seqrec.rl.prompt_batch import PromptBatch
from seqrec.rl.prompts import Prompts
from seqrec.rl.sampler import SlateSettings
from seqrec.rl.slates import Slates, Step


class PlackettLuceSampler(SlateSettings):
    """Draws the items of a slate from one distribution: one pass over the history.

    Source: Plackett 1975, "The Analysis of Permutations".
    """

    def tokenize(self, model: SeqRecForNextItem, prompts: Prompts) -> PromptBatch:
        return PromptBatch.of(
            prompts.histories,
            blocks=model.config.item_blocks,
            pad_token_id=model.pad_token_id,
            max_length=self.max_length,
            device=model.device,
        )

    @torch.no_grad()
    def draw(
        self, model: SeqRecForNextItem, batch: PromptBatch, generator: torch.Generator | None
    ) -> Slates:
        num_slates, temperature = self.get_draw_settings(generator)
        scores = get_distribution(model, batch, temperature)
        return Slates(*draw_slates(scores, num_slates, self.slate_size, generator))

    def steps(self, model: SeqRecForNextItem, batch: PromptBatch, slates: Slates) -> list[Step]:
        scores = get_distribution(model, batch, self.temperature)
        return [Step.of(scores, slates.items.flatten(1), batch.seen)]

    def log_probs(self, steps: Sequence[Step], slates: Slates) -> Float[Tensor, "B G K"]:
        (step,) = steps
        return catalog_slate_log_prob(step.scores, step.items.view(slates.items.shape))

    def first_choices(self, steps: Sequence[Step], num_prompts: int) -> Sequence[Step]:
        return steps


def get_distribution(
    model: SeqRecForNextItem, batch: PromptBatch, temperature: float
) -> CatalogScores:
    """Return the distribution after every history, without the items that it holds."""
    states = encode(model, batch, batch.input_ids.new_empty(len(batch), 1, 0))
    return model.catalog_scores(
        states.after_history,
        states.recent_items,
        excluded_items=batch.seen,
        temperature=temperature,
    )
