"""Slates with a plan: the policy chooses features of the next items, and then a slate given them.

A plan has a value for every feature that the model learned to predict before its item, each drawn
from the softmax over that feature's values alone; a Plackett-Luce slate follows. The
log-probability of both is exact, ``log p(plan) + log p(slate | plan)``, and sums to one over all
plans and slates. Features of the history beside its items are unknown.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqrec.losses.sampling import draw_slates
from seqrec.losses.slate import catalog_slate_log_prob
from seqrec.losses.softmax import CatalogScores
from seqrec.models.feature_heads import FeatureVocabulary, get_vocabulary
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.rl.branches import branch_states
from seqrec.rl.prompt_batch import PromptBatch
from seqrec.rl.prompts import Prompts
from seqrec.rl.sampler import SlateSettings
from seqrec.rl.slates import Slates, Step, step_log_prob
from seqrec.tokens.events.event_tokens import EventTokens


@dataclass(frozen=True)
class PlannedSampler(SlateSettings):
    """Draws a plan, feature by feature, and then the items of a slate from one distribution."""

    events: EventTokens
    """Tokens of events under a grammar with features to plan."""

    @cached_property
    def positions(self) -> Sequence[int]:
        """Positions, in an event, of the planned features in the order of their prediction."""
        return self.events.grammar.plan_indices

    @cached_property
    def vocabularies(self) -> list[FeatureVocabulary]:
        """Token ranges of the planned features' values."""
        return [get_vocabulary(self.events, position) for position in self.positions]

    def tokenize(self, model: SeqRecForNextItem, prompts: Prompts) -> PromptBatch:
        """Return histories as blocks of tokens, of which the last ends where the plan begins."""
        items, features, lengths, _ = self.events.flatten(prompts.histories, self.max_length)
        blocks = np.split(self.events.encode(items, features), np.cumsum(lengths)[:-1])
        cut = self.positions[0] - self.events.block_size + 1
        return PromptBatch.of_tokens(
            [block.flatten()[:cut] for block in blocks],
            prompts.histories,
            pad_token_id=model.pad_token_id,
            device=model.device,
        )

    @torch.no_grad()
    def draw(
        self, model: SeqRecForNextItem, batch: PromptBatch, generator: torch.Generator | None
    ) -> Slates:
        """Draw plans, and slates given them.

        Without a generator each value is the most probable one given those before it.
        """
        num_slates, temperature = self.get_draw_settings(generator)
        shape = (len(batch), num_slates)
        plans = batch.input_ids.new_zeros(*shape, len(self.positions))
        none = batch.input_ids.new_empty(*shape, 0)
        log_prob = []
        for number in range(len(self.positions) + 1):
            scores = self._steps(model, batch, plans, none, temperature)[number].scores
            is_feature = number < len(self.positions)
            size = 1 if is_feature else self.slate_size
            num_draws = len(batch) * num_slates // len(scores.hidden)
            drawn = draw_slates(scores, num_draws, size, generator)
            log_prob.append(drawn.log_prob.reshape(*shape, -1))
            if is_feature:
                plans[:, :, number] = drawn.items.view(shape) + 1
        return Slates(drawn.items.view(*shape, self.slate_size), torch.cat(log_prob, dim=2), plans)

    def steps(self, model: SeqRecForNextItem, batch: PromptBatch, slates: Slates) -> list[Step]:
        """Return a step for every planned feature, and one for the items.

        The divergence of these steps from a reference's (``mean_kl``) is that of plan and next
        item together, in nats, by the chain rule: exact over the values of the first feature; for
        further features and the catalog, exact given the drawn plans, and the mean over them.
        Under plans that the policy drew it is unbiased.
        """
        assert slates.plans is not None
        return self._steps(model, batch, slates.plans, slates.items, self.temperature)

    def _steps(
        self,
        model: SeqRecForNextItem,
        batch: PromptBatch,
        plans: Int[Tensor, "B G P"],
        items: Int[Tensor, "B G K"],
        temperature: float,
    ) -> list[Step]:
        num_slates = plans.shape[1]
        after_history, after_token = branch_states(model, batch, self._tokens(plans))
        states, none, steps = after_history, batch.seen[:, :0], []
        pairs = zip(self.positions, self.vocabularies, strict=True)
        for number, (position, vocabulary) in enumerate(pairs):
            values = plans[:, :, number] - 1
            if number:
                states = after_token[:, :, position - self.positions[0] - 1].flatten(0, 1)
                values, none = values.reshape(-1, 1), batch.seen.new_empty(len(states), 0)
            tokens = torch.arange(vocabulary.first_token, vocabulary.end, device=states.device)
            scores = CatalogScores(states / temperature, model.token_vectors(tokens))
            steps.append(Step.of(scores, values, none))
        recent = self._recent_items(model, batch)
        if recent is not None:
            recent = recent.repeat_interleave(num_slates, dim=0)
        seen = batch.seen.repeat_interleave(num_slates, dim=0)
        states = after_token[:, :, -1].flatten(0, 1)
        scores = model.catalog_scores(states, recent, excluded_items=seen, temperature=temperature)
        return [*steps, Step.of(scores, items.flatten(0, 1), seen)]

    def log_probs(self, steps: Sequence[Step], slates: Slates) -> Float[Tensor, "B G P+K"]:
        """Return the log-probabilities of every planned feature and item, given those before."""
        *features, items = steps
        shape = slates.items.shape
        chosen = [step_log_prob(step).view(*shape[:2], 1) for step in features]
        slate = catalog_slate_log_prob(items.scores, items.items[:, None]).view(shape)
        return torch.cat([*chosen, slate], dim=2)

    def first_choices(self, steps: Sequence[Step], num_prompts: int) -> Sequence[Step]:
        return steps

    def _tokens(self, plans: Int[Tensor, "B G P"]) -> Int[Tensor, "B G J"]:
        """Return the tokens from the first planned feature to the end of its block.

        Features that are not planned are unknown.
        """
        first = self.positions[0]
        unknown = torch.from_numpy(self.events.first_tokens[first:]).to(plans)
        tokens = unknown.expand(*plans.shape[:2], -1).clone()
        tokens[:, :, [position - first for position in self.positions]] += plans
        return tokens

    def _recent_items(
        self, model: SeqRecForNextItem, batch: PromptBatch
    ) -> Int[Tensor, "B S"] | None:
        """Return the last items of every history, for a transition prior."""
        size = self.events.block_size
        tokens, numbers = batch.input_ids[:, ::size], -(-batch.lengths // size)
        columns = torch.arange(tokens.shape[1], device=tokens.device)
        recent = model.recent_items(tokens, (columns < numbers[:, None]).long())
        rows = torch.arange(len(batch), device=tokens.device)
        return None if recent is None else recent[rows, numbers - 1]
