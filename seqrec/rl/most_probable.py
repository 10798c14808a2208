"""The most probable items after a history, every one a slate of its own."""

import torch

from seqrec.losses.sampling import draw_slates
from seqrec.losses.slate import catalog_slate_log_prob
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.rl.plackett_luce import PlackettLuceSampler, get_distribution
from seqrec.rl.prompt_batch import PromptBatch
from seqrec.rl.slates import Slates


class MostProbableSampler(PlackettLuceSampler):
    """Takes the ``num_slates`` most probable items in place of drawn ones.

    A group then holds nearly all of the probability, and the expected reward of an item needs no
    draws. Without a generator, for the guard, it returns the most probable slate.
    """

    @torch.no_grad()
    def draw(
        self, model: SeqRecForNextItem, batch: PromptBatch, generator: torch.Generator | None
    ) -> Slates:
        if generator is None:
            return super().draw(model, batch, generator)
        scores = get_distribution(model, batch, self.temperature)
        items = draw_slates(scores, 1, self.num_slates, None).items.transpose(1, 2)
        return Slates(items, catalog_slate_log_prob(scores, items))
