"""Slates whose items are appended to the history one by one, each before the next is drawn."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from seqrec.losses.sampling import draw_slates
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.rl.branches import encode, history_rows, recent_items, states_at
from seqrec.rl.prompt_batch import PromptBatch
from seqrec.rl.prompts import Prompts
from seqrec.rl.sampler import SlateSettings
from seqrec.rl.slates import Slates, Step, step_log_prob


class AutoregressiveSampler(SlateSettings):
    """Draws every item after reading the items before it: a pass for each item of a slate."""

    def tokenize(self, model: SeqRecForNextItem, prompts: Prompts) -> PromptBatch:
        return PromptBatch.of(
            prompts.histories,
            blocks=model.config.item_blocks,
            pad_token_id=model.pad_token_id,
            max_length=self.max_length - (self.slate_size - 1),
            device=model.device,
        )

    @torch.no_grad()
    def draw(
        self, model: SeqRecForNextItem, batch: PromptBatch, generator: torch.Generator | None
    ) -> Slates:
        """Draw item by item; the states of the histories are cached."""
        num_slates, temperature = self.get_draw_settings(generator)
        blocks = model.config.item_blocks
        num_tokens = (self.slate_size - 1) * blocks.length
        layout = batch.layout(num_slates, num_tokens)
        input_ids = history_rows(model, batch, layout)
        cache: list[Any] = []
        items = batch.input_ids.new_empty(len(batch), num_slates, 0)
        log_prob, columns = [], layout.query_positions[:, :, :1]
        for number in range(self.slate_size):
            states = states_at(model, layout, input_ids, columns, cache)
            recent, later = recent_items(model, batch, items)
            excluded_items = batch.seen
            if number:
                seen = batch.seen[:, None].expand(-1, num_slates, -1)
                excluded_items = torch.cat([seen, items], dim=2).flatten(0, 1)
                recent = None if later is None else later[:, :, -1].flatten(0, 1)
            hidden = states.flatten(0, 1)
            scores = model.catalog_scores(
                hidden, recent, excluded_items=excluded_items, temperature=temperature
            )
            drawn = draw_slates(scores, 1 if number else num_slates, 1, generator)
            chosen = drawn.items.view(len(batch), num_slates, 1)
            log_prob.append(drawn.log_prob.view(chosen.shape))
            items = torch.cat([items, chosen], dim=2)
            if number + 1 < self.slate_size:
                positions = layout.branches[:, number :: self.slate_size - 1]
                input_ids.view(-1)[positions] = blocks.encode(chosen.squeeze(2)).squeeze(-1)
                columns = layout.query_positions[:, :, 1 + number :: self.slate_size - 1]
        return Slates(items, torch.cat(log_prob, dim=2))

    def steps(self, model: SeqRecForNextItem, batch: PromptBatch, slates: Slates) -> list[Step]:
        """Return one step: a row for every history, then one for every item but the last."""
        items = slates.items
        num_slates, slate_size = items.shape[1:]
        states = encode(model, batch, items[:, :, :-1])
        recent = None
        if states.recent_items is not None and states.recent_items_later is not None:
            recent = torch.cat([states.recent_items, states.recent_items_later.flatten(0, 2)])
        later = batch.seen[:, None, None].expand(-1, num_slates, slate_size - 1, -1)
        excluded_items = torch.cat(
            [
                F.pad(batch.seen, (0, slate_size - 1), value=-1),
                torch.cat([later, _items_before(items[:, :, :-1])], dim=3).flatten(0, 2),
            ]
        )
        hidden = torch.cat([states.after_history, states.after_item.flatten(0, 2)])
        scores = model.catalog_scores(
            hidden, recent, excluded_items=excluded_items, temperature=self.temperature
        )
        weight = hidden.new_full((len(hidden),), 1 / items.numel())
        weight[: len(items)] *= num_slates
        drawn_later = F.pad(items[:, :, 1:].reshape(-1, 1), (0, num_slates - 1))
        drawn = torch.cat([items[:, :, 0], drawn_later])
        return [Step(scores, drawn, excluded_items, weight)]

    def log_probs(self, steps: Sequence[Step], slates: Slates) -> Float[Tensor, "B G K"]:
        (step,) = steps
        num_prompts, num_slates, slate_size = slates.items.shape
        log_prob = step_log_prob(step)
        first, later = log_prob[:num_prompts, :, None], log_prob[num_prompts:, 0]
        return torch.cat([first, later.view(num_prompts, num_slates, slate_size - 1)], dim=2)

    def first_choices(self, steps: Sequence[Step], num_prompts: int) -> Sequence[Step]:
        return [steps[0].first(num_prompts)]


def _items_before(items: Int[Tensor, "B G J"]) -> Int[Tensor, "B G J J"]:
    """Return the items of a slate up to each of them; -1 for those after it."""
    size = items.shape[2]
    is_before = torch.ones(size, size, dtype=torch.bool, device=items.device).tril()
    return items[:, :, None].expand(-1, -1, size, -1).where(is_before, -1)
