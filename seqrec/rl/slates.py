"""A policy that answers histories with slates: drawing them, and their exact log-probabilities.

``plackett_luce`` draws all titles of a slate from the distribution after the history;
``autoregressive`` appends each title to the history before the next is drawn. A history is
encoded once for all of its slates: they follow it in its row, each blind to the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from seqrec.errors import SeqRecError
from seqrec.losses.catalog import add_bias, catalog_log_prob
from seqrec.losses.divergence import catalog_divergence
from seqrec.losses.slate import draw_titles, slate_log_prob
from seqrec.losses.softmax import CatalogScores
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.models.transition_prior import last_items
from seqrec.rl.shared_prefix import Layout

Drawing = Literal["plackett_luce", "autoregressive"]


@dataclass(frozen=True)
class PromptBatch:
    """Histories that slates are asked for."""

    input_ids: Int[Tensor, "B T"]
    """Padded on the right."""
    lengths: Int[Tensor, " B"]
    seen: Int[Tensor, "B S"]
    """Items that may not be recommended; -1 where there are fewer."""

    @classmethod
    def of(
        cls,
        histories: Sequence[Int[np.ndarray, " T"]],
        *,
        first_item_token: int,
        pad_token_id: int,
        max_length: int,
        device: torch.device | None = None,
    ) -> "PromptBatch":
        """Of histories of items, of which the last ``max_length`` are read and all are seen."""
        read = [history[-max_length:] + first_item_token for history in histories]
        return cls.of_tokens(read, histories, pad_token_id=pad_token_id, device=device)

    @classmethod
    def of_tokens(
        cls,
        read: Sequence[Int[np.ndarray, " L"]],
        histories: Sequence[Int[np.ndarray, " T"]],
        *,
        pad_token_id: int,
        device: torch.device | None = None,
    ) -> "PromptBatch":
        """Of histories of items, and of the tokens that are read of each.

        Raises:
            SeqRecError: an empty history, after which the model has no state to answer from.
        """
        if not all(len(tokens) for tokens in read):
            empty = next(row for row, tokens in enumerate(read) if not len(tokens))
            raise SeqRecError(f"history {empty} is empty: a slate needs something to answer to")
        input_ids = torch.full((len(read), max(len(tokens) for tokens in read)), pad_token_id)
        known = [np.unique(history) for history in histories]
        seen = torch.full((len(read), max(len(items) for items in known)), -1)
        for row, (tokens, of_row) in enumerate(zip(read, known, strict=True)):
            input_ids[row, : len(tokens)] = torch.tensor(tokens)
            seen[row, : len(of_row)] = torch.tensor(of_row)
        lengths = torch.tensor([len(tokens) for tokens in read])
        return cls(input_ids.to(device), lengths.to(device), seen.to(device))

    def __len__(self) -> int:
        return len(self.input_ids)

    def layout(self, num_branches: int, num_tokens: int) -> Layout:
        """Where they stand with branches behind them; made once for each kind."""
        kind = num_branches, num_tokens
        if kind not in self._layouts:
            made = Layout.of(self.lengths.tolist(), *kind)
            self._layouts[kind] = made.to(self.input_ids.device)
        return self._layouts[kind]

    @cached_property
    def _layouts(self) -> dict[tuple[int, int], Layout]:
        return {}


class Slates(NamedTuple):
    """What was drawn for every history, and how probable each title was, given those before."""

    items: Int[Tensor, "B G K"]
    log_prob: Float[Tensor, "B G W"]
    """Of every title; of what was planned before them, first."""
    plans: Int[Tensor, "B G P"] | None = None
    """Codes of what was planned before each slate, if the policy plans."""


class Step(NamedTuple):
    """Rows that titles of slates, or words of plans, are drawn from, and what was drawn."""

    scores: CatalogScores
    items: Int[Tensor, "R L"]
    excluded_items: Int[Tensor, "R M"]
    """Items that were left out of each row; -1 where there are fewer."""
    weight: Float[Tensor, " R"]
    """Of every row in the mean over the titles of all slates; they sum to 1."""

    @classmethod
    def of(cls, scores: CatalogScores, items: Tensor, excluded_items: Tensor) -> "Step":
        """Of rows that count alike."""
        num_rows = len(items)
        return cls(scores, items, excluded_items, scores.hidden.new_full((num_rows,), 1 / num_rows))

    def first(self, num_rows: int) -> "Step":
        """The first rows: of steps of slates, the choices after each history."""
        scores = self.scores._replace(hidden=self.scores.hidden[:num_rows])
        return Step(scores, *(of[:num_rows] for of in self[1:]))


def steps_of(
    model: SeqRecForNextItem,
    batch: PromptBatch,
    items: Int[Tensor, "B G K"],
    *,
    drawing: Drawing,
    temperature: float,
) -> list[Step]:
    """The distributions that slates came from, under a model: what is left out of them, too."""
    num_slates, slate_size = items.shape[1:]
    seen = batch.seen
    if drawing == "plackett_luce":
        states = encode(model, batch, items[:, :, :0])
        scores = catalog_scores(model, states.after_history, states.asked, seen, temperature)
        return [Step.of(scores, items.flatten(1), seen)]
    states = encode(model, batch, items[:, :, :-1])
    asked = None
    if states.asked is not None and states.asked_later is not None:
        asked = torch.cat([states.asked, states.asked_later.flatten(0, 2)])
    excluded_items = torch.cat(
        [
            F.pad(seen, (0, slate_size - 1), value=-1),
            torch.cat(
                [
                    seen[:, None, None].expand(-1, num_slates, slate_size - 1, -1),
                    _before(items[:, :, :-1]),
                ],
                dim=3,
            ).flatten(0, 2),
        ]
    )
    hidden = torch.cat([states.after_history, states.after_title.flatten(0, 2)])
    scores = catalog_scores(model, hidden, asked, excluded_items, temperature)
    weight = hidden.new_full((len(hidden),), 1 / items.numel())
    weight[: len(items)] *= num_slates
    later = F.pad(items[:, :, 1:].reshape(-1, 1), (0, num_slates - 1))
    return [Step(scores, torch.cat([items[:, :, 0], later]), excluded_items, weight)]


def log_probs(
    steps: Sequence[Step], shape: Sequence[int], drawing: Drawing
) -> Float[Tensor, "B G K"]:
    """Of every title of slates of a shape, given those before it; with gradients."""
    (step,) = steps
    found = step_log_prob(step)
    if drawing == "plackett_luce":
        return slate_log_prob(found.view(*shape))
    num_histories, num_slates, slate_size = shape
    first, later = found[:num_histories, :, None], found[num_histories:, 0]
    return torch.cat([first, later.view(num_histories, num_slates, slate_size - 1)], dim=2)


def step_log_prob(step: Step) -> Float[Tensor, "R L"]:
    """Of what was drawn from each row, under the row's distribution; with gradients."""
    hidden, item_weight, logit_bias = step.scores
    return catalog_log_prob(hidden, item_weight, step.items, logit_bias=logit_bias)


def mean_kl(steps: Sequence[Step], reference: Sequence[Step]) -> Float[Tensor, ""]:
    """``KL(policy | reference)`` of the next title, in nats a title, over the whole catalog.

    At the end of the histories if slates are drawn in one pass; else the mean over the prefixes
    that were drawn, an unbiased estimate of the slates' divergence over their number of titles.
    """
    return torch.stack(
        [
            catalog_divergence(
                mine.scores,
                [theirs.scores],
                kind="reverse_kl",
                row_weight=mine.weight,
                total_weight=1.0,
            )
            for mine, theirs in zip(steps, reference, strict=True)
        ]
    ).sum()


class States(NamedTuple):
    """The decoder's outputs that titles of slates are drawn from."""

    after_history: Float[Tensor, "B D"]
    after_title: Float[Tensor, "B G J D"]
    asked: Int[Tensor, "B S"] | None
    """Last items at these places, for a memory."""
    asked_later: Int[Tensor, "B G J S"] | None


def encode(model: SeqRecForNextItem, batch: PromptBatch, items: Int[Tensor, "B G J"]) -> States:
    """The states after every history and after each title that follows it, in one pass."""
    tokens = items + model.config.first_item_token
    after_history, after_title = branch_states(model, batch, tokens)
    return States(after_history, after_title, *_asked(model, batch, items))


def branch_states(
    model: SeqRecForNextItem, batch: PromptBatch, tokens: Int[Tensor, "B G J"]
) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B G J D"]]:
    """The states after every history and after each token that goes on from it, in one pass.

    A token reads the history, and those before it in its own slate.
    """
    layout = batch.layout(*tokens.shape[1:])
    input_ids = rows_of(model, batch, layout)
    input_ids.view(-1)[layout.branches] = tokens.flatten(1)
    hidden = states_at(model, layout, input_ids, layout.read_at)
    return hidden[:, 0], hidden[:, 1:].unflatten(1, tokens.shape[1:])


def rows_of(model: SeqRecForNextItem, batch: PromptBatch, layout: Layout) -> Int[Tensor, "R L"]:
    """The histories' tokens where they stand, and nothing behind them yet."""
    columns = torch.arange(batch.input_ids.shape[1], device=batch.input_ids.device)
    input_ids = torch.full_like(layout.positions, model.pad_token_id)
    input_ids.view(-1)[layout.history] = batch.input_ids[columns < batch.lengths[:, None]]
    return input_ids


def states_at(
    model: SeqRecForNextItem,
    layout: Layout,
    input_ids: Int[Tensor, "R L"],
    columns: Int[Tensor, "R H M"],
    kept: list[Any] | None = None,
) -> Float[Tensor, "B M D"]:
    """The states at some columns of every history; ``kept`` is that of ``states_under``."""
    read_at = columns.flatten(1)
    found = model.states_under(input_ids, layout.may_read, layout.positions, read_at, kept)
    return found.unflatten(1, columns.shape[1:]).flatten(0, 1)[layout.slots]


def _asked(
    model: SeqRecForNextItem, batch: PromptBatch, items: Int[Tensor, "B G J"]
) -> tuple[Int[Tensor, "B S"], Int[Tensor, "B G J S"]] | tuple[None, None]:
    """The last items after the history, and after each title, for a memory, if there is one.

    The most recent first.
    """
    if model.transition_prior is None or not model.transition_prior.strength:
        return None, None
    columns = torch.arange(batch.input_ids.shape[1], device=items.device)
    documents = (columns < batch.lengths[:, None]).long()
    of_all = last_items(
        model.items_of(batch.input_ids), documents, model.transition_prior.max_steps
    )
    first = of_all[torch.arange(len(items), device=items.device), batch.lengths - 1]
    later = first[:, None, None].expand(*items.shape, -1).clone()
    before = first[:, None].expand(-1, items.shape[1], -1)
    for title in range(items.shape[2]):
        before = torch.cat([items[:, :, title, None], before[:, :, :-1]], dim=2)
        later[:, :, title] = before
    return first, later


def _before(items: Int[Tensor, "B G J"]) -> Int[Tensor, "B G J J"]:
    """The titles of a slate up to each of them; -1 for those after it."""
    size = items.shape[2]
    is_before = torch.ones(size, size, dtype=torch.bool, device=items.device).tril()
    return items[:, :, None].expand(-1, -1, size, -1).where(is_before, -1)


def catalog_scores(
    model: SeqRecForNextItem,
    hidden: Float[Tensor, "R D"],
    asked: Int[Tensor, "R S"] | None,
    excluded_items: Int[Tensor, "R M"],
    temperature: float,
) -> CatalogScores:
    return model.catalog_scores(
        hidden, asked, excluded_items=excluded_items, temperature=temperature
    )


@torch.no_grad()
def draw(
    model: SeqRecForNextItem,
    batch: PromptBatch,
    *,
    num_slates: int,
    slate_size: int,
    drawing: Drawing,
    temperature: float,
    generator: torch.Generator | None,
) -> Slates:
    """Slates of titles that the history does not hold, each at most once.

    Args:
        model: the policy.
        batch: the histories.
        num_slates: of each history.
        slate_size: of a slate.
        drawing: how titles follow each other.
        temperature: what logits are divided by; log-probabilities are of the divided ones.
        generator: of the draws; None: the most probable titles, the same for every slate.
    """
    if drawing == "autoregressive":
        return _draw_in_turn(model, batch, num_slates, slate_size, temperature, generator)
    none = batch.input_ids.new_empty(len(batch), num_slates, 0)
    (step,) = steps_of(model, batch, none, drawing=drawing, temperature=temperature)
    log_prob = logits_of(step.scores).log_softmax(dim=1)
    drawn = draw_titles(log_prob, num_slates, slate_size, generator)
    return Slates(drawn, slate_log_prob(at(log_prob, drawn)))


def _draw_in_turn(
    model: SeqRecForNextItem,
    batch: PromptBatch,
    num_slates: int,
    slate_size: int,
    temperature: float,
    generator: torch.Generator | None,
) -> Slates:
    """One title after the other; what was read of the histories is kept meanwhile."""
    layout = batch.layout(num_slates, slate_size - 1)
    input_ids = rows_of(model, batch, layout)
    kept: list[Any] = []
    items = batch.input_ids.new_empty(len(batch), num_slates, 0)
    found, columns = [], layout.read_at[:, :, :1]
    for title in range(slate_size):
        states = states_at(model, layout, input_ids, columns, kept).flatten(0, 1)
        asked, later = _asked(model, batch, items)
        excluded_items = batch.seen
        if title:
            excluded_items = torch.cat(
                [excluded_items[:, None].expand(-1, num_slates, -1), items], dim=2
            ).flatten(0, 1)
            asked = None if later is None else later[:, :, -1].flatten(0, 1)
        scores = catalog_scores(model, states, asked, excluded_items, temperature)
        log_prob = logits_of(scores).log_softmax(dim=1)
        drawn = draw_titles(log_prob, 1 if title else num_slates, 1, generator)
        drawn, of_drawn = (of.view(*items.shape[:2], 1) for of in (drawn, at(log_prob, drawn)))
        found.append(of_drawn)
        items = torch.cat([items, drawn], dim=2)
        if title + 1 < slate_size:
            places = layout.branches[:, title :: slate_size - 1]
            input_ids.view(-1)[places] = drawn.squeeze(2) + model.config.first_item_token
            columns = layout.read_at[:, :, 1 + title :: slate_size - 1]
    return Slates(items, torch.cat(found, dim=2))


def at(log_prob: Float[Tensor, "R I"], items: Int[Tensor, "R G K"]) -> Float[Tensor, "R G K"]:
    """What rows hold at the items of their slates."""
    return log_prob.gather(1, items.flatten(1)).view(items.shape)


def logits_of(scores: CatalogScores) -> Float[Tensor, "R I"]:
    """Of the whole catalog."""
    logits = scores.hidden @ scores.item_weight.T
    add_bias(logits, scores.logit_bias, slice(None), slice(0, logits.shape[1]))
    return logits
