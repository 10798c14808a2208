"""A policy that plans: it says what kind of titles come next, and then a slate given that.

A plan is a word for every feature that the model learned to say before its title, each drawn
from the softmax over that feature's values alone; a slate follows in one pass. Plan and slate
are one answer: its log-probability is exact, ``log p(plan) + log p(slate | plan)``, and over all
plans and slates the probabilities sum to one. What a history told beside its titles is left open.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqrec.losses.slate import draw_titles, slate_log_prob
from seqrec.losses.softmax import CatalogScores
from seqrec.models.feature_heads import family_of
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.models.transition_prior import last_items
from seqrec.rl.slates import (
    PromptBatch,
    Slates,
    Step,
    at,
    branch_states,
    catalog_scores,
    logits_of,
    step_log_prob,
)
from seqrec.tokens.events.event_tokens import EventTokens


class Plans:
    """How slates with a plan are drawn under a grammar, and how probable they are."""

    def __init__(self, events: EventTokens) -> None:
        """Hold what plans are made of.

        Args:
            events: of a grammar with something to plan with.
        """
        self.events = events
        self.places = events.grammar.plan_indices
        """Of the features that are planned, in the order in which they are said."""
        self.families = [family_of(events, place) for place in self.places]

    def tokenize(
        self,
        model: SeqRecForNextItem,
        histories: Sequence[Int[np.ndarray, " T"]],
        max_length: int,
    ) -> PromptBatch:
        """Histories as blocks of tokens, of which the last ends where the plan begins."""
        items, told, lengths, _ = self.events.flatten(histories, max_length)
        blocks = np.split(self.events.encode(items, told), np.cumsum(lengths)[:-1])
        cut = self.places[0] - self.events.block_size + 1
        return PromptBatch.of_tokens(
            [block.flatten()[:cut] for block in blocks],
            histories,
            pad_token_id=model.pad_token_id,
            device=model.device,
        )

    def steps_of(
        self,
        model: SeqRecForNextItem,
        batch: PromptBatch,
        plans: Int[Tensor, "B G P"],
        items: Int[Tensor, "B G K"],
        *,
        temperature: float,
    ) -> list[Step]:
        """The distributions that plans and slates came from: a step a word, and one of titles.

        The divergence of these steps from a reference's (``slates.mean_kl``) is that of plan and
        next title together, in nats, by the chain rule: exact over the values of the first word;
        of what follows, further words and the whole catalog, exact given the plans that were
        drawn, and the mean over them. Under plans that the policy drew it is unbiased.
        """
        num_slates = plans.shape[1]
        after_history, after_word = branch_states(model, batch, self._words(plans))
        nothing = batch.seen[:, :0]
        states, steps = after_history, []
        for number, (place, family) in enumerate(zip(self.places, self.families, strict=True)):
            said = plans[:, :, number] - 1
            if number:
                states = after_word[:, :, place - self.places[0] - 1].flatten(0, 1)
                said, nothing = said.reshape(-1, 1), batch.seen.new_empty(len(states), 0)
            tokens = torch.arange(family.first_token, family.end, device=states.device)
            scores = CatalogScores(states / temperature, model.token_vectors(tokens))
            steps.append(Step.of(scores, said, nothing))
        asked = self._asked(model, batch)
        if asked is not None:
            asked = asked.repeat_interleave(num_slates, dim=0)
        seen = batch.seen.repeat_interleave(num_slates, dim=0)
        states = after_word[:, :, -1].flatten(0, 1)
        scores = catalog_scores(model, states, asked, seen, temperature)
        return [*steps, Step.of(scores, items.flatten(0, 1), seen)]

    def log_probs(self, steps: Sequence[Step], shape: Sequence[int]) -> Float[Tensor, "B G P+K"]:
        """Of every word of the plans and every title, given what stands before; with gradients.

        Args:
            steps: of ``steps_of``.
            shape: of the slates.
        """
        *words, titles = [step_log_prob(step) for step in steps]
        of_words = [word.view(*shape[:2], 1) for word in words]
        return torch.cat([*of_words, slate_log_prob(titles.view(*shape))], dim=2)

    @torch.no_grad()
    def draw(
        self,
        model: SeqRecForNextItem,
        batch: PromptBatch,
        *,
        num_slates: int,
        slate_size: int,
        temperature: float,
        generator: torch.Generator | None,
    ) -> Slates:
        """Plans, and slates given them; the arguments are those of ``slates.draw``.

        Without a generator each word is the most probable one given those before it.
        """
        shape = (len(batch), num_slates)
        plans = batch.input_ids.new_zeros(*shape, len(self.places))
        none = batch.input_ids.new_empty(*shape, 0)
        found = []
        for number in range(len(self.places) + 1):
            step = self.steps_of(model, batch, plans, none, temperature=temperature)[number]
            log_prob = logits_of(step.scores).log_softmax(dim=1)
            num_draws = len(batch) * num_slates // len(log_prob)
            is_word = number < len(self.places)
            drawn = draw_titles(log_prob, num_draws, 1 if is_word else slate_size, generator)
            chosen = at(log_prob, drawn)
            found.append((chosen if is_word else slate_log_prob(chosen)).view(*shape, -1))
            if is_word:
                plans[:, :, number] = drawn.view(shape) + 1
        return Slates(drawn.view(*shape, slate_size), torch.cat(found, dim=2), plans)

    def _words(self, plans: Int[Tensor, "B G P"]) -> Int[Tensor, "B G J"]:
        """The tokens from the first word of the plan to the end of its block; others are open."""
        first = self.places[0]
        tokens = torch.from_numpy(self.events.first_tokens[first:]).to(plans)
        found = tokens.expand(*plans.shape[:2], -1).clone()
        found[:, :, [place - first for place in self.places]] += plans
        return found

    def _asked(self, model: SeqRecForNextItem, batch: PromptBatch) -> Int[Tensor, "B S"] | None:
        """The last items of every history, for a memory."""
        if model.transition_prior is None or not model.transition_prior.strength:
            return None
        size = self.events.block_size
        items = model.items_of(batch.input_ids[:, ::size])
        numbers = -(-batch.lengths // size)
        documents = (torch.arange(items.shape[1], device=items.device) < numbers[:, None]).long()
        rows = torch.arange(len(batch), device=items.device)
        return last_items(items, documents, model.transition_prior.max_steps)[rows, numbers - 1]
