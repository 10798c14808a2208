"""A policy that answers histories with slates: drawing them, and their exact log-probabilities.

``one_pass`` draws all titles of a slate from the distribution after the history; ``sequential``
appends each title to the history before the next is drawn. A history is encoded once for all of
its slates: they follow it in its row, each blind to the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqrec.errors import SeqRecError
from seqrec.losses.catalog import LeftOut, LogitBias, add_bias, catalog_log_prob
from seqrec.losses.divergence import Scores, catalog_divergence
from seqrec.losses.slate import draw_titles, slate_log_prob
from seqrec.models.memory import last_items
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.rl.branches import Layout

Drawing = Literal["one_pass", "sequential"]


@dataclass(frozen=True)
class Prompts:
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
    ) -> "Prompts":
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
    ) -> "Prompts":
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

    scores: Scores
    items: Int[Tensor, "R L"]
    gone: Int[Tensor, "R M"]
    """Items that were left out of each row; -1 where there are fewer."""
    weight: float
    """Of a row in the mean over a slate's titles, so that those of a history sum to 1."""


def steps_of(
    model: SeqRecForNextItem,
    prompts: Prompts,
    items: Int[Tensor, "B G K"],
    *,
    drawing: Drawing,
    temperature: float,
) -> list[Step]:
    """The distributions that slates came from, under a model: what is left out of them, too."""
    num_slates, num_titles = items.shape[1:]
    seen = prompts.seen
    if drawing == "one_pass":
        states = encode(model, prompts, items[:, :, :0])
        scores = catalog_scores(model, states.after_history, states.asked, seen, temperature)
        return [Step(scores, items.flatten(1), seen, 1.0)]
    states = encode(model, prompts, items[:, :, :-1])
    asked, of_titles = states.asked, None
    if asked is not None:
        asked, of_titles = asked[:, 0], asked[:, 1:].flatten(0, 1)
    first = catalog_scores(model, states.after_history, asked, seen, temperature)
    steps = [Step(first, items[:, :, 0], seen, 1 / num_titles)]
    if num_titles > 1:
        gone = torch.cat(
            [
                seen[:, None, None].expand(-1, num_slates, num_titles - 1, -1),
                _before(items[:, :, :-1]),
            ],
            dim=3,
        ).flatten(0, 2)
        rest = catalog_scores(
            model,
            states.after_title.flatten(0, 2),
            of_titles,
            gone,
            temperature,
        )
        weight = 1 / (num_slates * num_titles)
        steps.append(Step(rest, items[:, :, 1:].reshape(-1, 1), gone, weight))
    return steps


def log_probs(
    steps: Sequence[Step], shape: Sequence[int], drawing: Drawing
) -> Float[Tensor, "B G K"]:
    """Of every title of slates of a shape, given those before it; with gradients."""
    found = [step_log_prob(step) for step in steps]
    if drawing == "one_pass":
        return slate_log_prob(found[0].view(*shape))
    first, *rest = found
    num_histories, num_slates, num_titles = shape
    later = [one.view(num_histories, num_slates, num_titles - 1) for one in rest]
    return torch.cat([first[:, :, None], *later], dim=2)


def step_log_prob(step: Step) -> Float[Tensor, "R L"]:
    """Of what was drawn from each row, under the row's distribution; with gradients."""
    hidden, item_weight, logit_bias = step.scores
    return catalog_log_prob(hidden, item_weight, step.items, logit_bias=logit_bias)


def drift(steps: Sequence[Step], reference: Sequence[Step]) -> Float[Tensor, ""]:
    """``KL(policy | reference)`` of the next title, in nats a title, over the whole catalog.

    At the end of the histories if slates are drawn in one pass; else the mean over the prefixes
    that were drawn, an unbiased estimate of the slates' divergence over their number of titles.
    """
    num_histories = len(steps[0].scores.hidden)
    return torch.stack(
        [
            catalog_divergence(mine.scores, [theirs.scores], kind="reverse_kl", total_weight=1.0)
            * (mine.weight / num_histories)
            for mine, theirs in zip(steps, reference, strict=True)
        ]
    ).sum()


class States(NamedTuple):
    """The decoder's outputs that titles of slates are drawn from."""

    after_history: Float[Tensor, "B D"]
    after_title: Float[Tensor, "B G J D"]
    asked: Int[Tensor, "B 1+G*J S"] | None
    """Last items at each of these places, for a memory."""


def encode(model: SeqRecForNextItem, prompts: Prompts, items: Int[Tensor, "B G J"]) -> States:
    """The states after every history and after each title that follows it, in one pass."""
    tokens = items + model.config.first_item_token
    after_history, after_title = branch_states(model, prompts, tokens)
    asked = None
    if model.memory is not None and model.memory.strength:
        asked = _asked(model, prompts, items, model.memory.max_steps)
    return States(after_history, after_title, asked)


def branch_states(
    model: SeqRecForNextItem, prompts: Prompts, tokens: Int[Tensor, "B G J"]
) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B G J D"]]:
    """The states after every history and after each token that goes on from it, in one pass.

    A token reads the history, and those before it in its own slate.
    """
    layout = prompts.layout(*tokens.shape[1:])
    columns = torch.arange(prompts.input_ids.shape[1], device=tokens.device)
    pad = model.backbone.config.pad_token_id or 0
    input_ids = torch.full_like(layout.positions, pad)
    input_ids.view(-1)[layout.history] = prompts.input_ids[columns < prompts.lengths[:, None]]
    input_ids.view(-1)[layout.branches] = tokens.flatten(1)
    found = model.states_under(input_ids, layout.may_read, layout.positions, layout.read_at)
    hidden = found.flatten(0, 1)[layout.asked]
    return hidden[:, 0], hidden[:, 1:].unflatten(1, tokens.shape[1:])


def _asked(
    model: SeqRecForNextItem, prompts: Prompts, items: Int[Tensor, "B G J"], num_steps: int
) -> Int[Tensor, "B 1+G*J S"]:
    """The last items after the history, and after each title, the most recent first."""
    num_histories, num_slates, num_titles = items.shape
    device = prompts.input_ids.device
    columns = torch.arange(prompts.input_ids.shape[1], device=device)
    documents = (columns < prompts.lengths[:, None]).long()
    of_all = last_items(model.items_of(prompts.input_ids), documents, num_steps)
    base = of_all[torch.arange(num_histories, device=device), prompts.lengths - 1]
    found = [base[:, None]]
    before = base[:, None].expand(-1, num_slates, -1)
    steps = []
    for title in range(num_titles):
        before = torch.cat([items[:, :, title, None], before[:, :, :-1]], dim=2)
        steps.append(before)
    if steps:
        found.append(torch.stack(steps, dim=2).flatten(1, 2))
    return torch.cat(found, dim=1)


def _before(items: Int[Tensor, "B G J"]) -> Int[Tensor, "B G J J"]:
    """The titles of a slate up to each of them; -1 for those after it."""
    size = items.shape[2]
    is_before = torch.ones(size, size, dtype=torch.bool, device=items.device).tril()
    return items[:, :, None].expand(-1, -1, size, -1).where(is_before, -1)


def catalog_scores(
    model: SeqRecForNextItem,
    hidden: Float[Tensor, "R D"],
    asked: Int[Tensor, "R S"] | None,
    gone: Int[Tensor, "R M"],
    temperature: float,
) -> Scores:
    bias: LogitBias | None = None
    memory = model.memory
    if asked is not None and memory is not None:

        def bias(rows: slice, tile: slice) -> Tensor:
            return memory.logits(asked[rows], tile.start, tile.stop) / temperature

    return Scores(hidden / temperature, model.item_weight(), LeftOut(gone, bias))


def draw(
    model: SeqRecForNextItem,
    prompts: Prompts,
    *,
    num_slates: int,
    num_titles: int,
    drawing: Drawing,
    temperature: float,
    generator: torch.Generator | None,
) -> Slates:
    """Slates of titles that the history does not hold, each at most once.

    Args:
        model: the policy.
        prompts: the histories.
        num_slates: of each history.
        num_titles: of a slate.
        drawing: how titles follow each other.
        temperature: what logits are divided by; log-probabilities are of the divided ones.
        generator: of the draws; None: the most probable titles, the same for every slate.
    """
    shape = (len(prompts), num_slates, num_titles)
    none = prompts.input_ids.new_empty(len(prompts), num_slates, 0)
    with torch.no_grad():
        if drawing == "one_pass":
            (step,) = steps_of(model, prompts, none, drawing=drawing, temperature=temperature)
            log_prob = logits_of(step.scores).log_softmax(dim=1)
            drawn = draw_titles(log_prob, num_slates, num_titles, generator)
            return Slates(drawn, slate_log_prob(at(log_prob, drawn)))
        items, found = none, []
        for _ in range(num_titles):
            unknown = torch.cat([items, items.new_zeros(*items.shape[:2], 1)], dim=2)
            step = steps_of(model, prompts, unknown, drawing=drawing, temperature=temperature)[-1]
            each = max(items.shape[2], 1)
            log_prob = logits_of(step.scores, slice(each - 1, None, each)).log_softmax(dim=1)
            num_draws = len(prompts) * num_slates // len(log_prob)
            drawn = draw_titles(log_prob, num_draws, 1, generator)
            found.append(at(log_prob, drawn).view(shape[0], num_slates, 1))
            items = torch.cat([items, drawn.view(*items.shape[:2], 1)], dim=2)
        return Slates(items, torch.cat(found, dim=2))


def at(log_prob: Float[Tensor, "R I"], items: Int[Tensor, "R G K"]) -> Float[Tensor, "R G K"]:
    """What rows hold at the items of their slates."""
    return log_prob.gather(1, items.flatten(1)).view(items.shape)


def logits_of(scores: Scores, rows: slice = slice(None)) -> Float[Tensor, "R I"]:
    """Of the whole catalog, for some of the rows."""
    logits = scores.hidden[rows] @ scores.item_weight.T
    add_bias(logits, scores.logit_bias, rows, slice(0, logits.shape[1]))
    return logits
