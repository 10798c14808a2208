"""Saying behaviours: a softmax over the tokens of one behaviour, not over the vocabulary."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from seqrec.models.next_item import SeqRecForNextItem
from seqrec.tokens.events import EventTokens


class Family(NamedTuple):
    """The tokens of one behaviour's values, the open one left out."""

    first_token: int
    size: int

    @property
    def end(self) -> int:
        """One past the last token."""
        return self.first_token + self.size


def learned_families(events: EventTokens) -> list[Family]:
    """The families of the behaviours that a model learns to say."""
    found = zip(events.first_of.tolist(), events.grammar.behaviours, strict=True)
    return [Family(first + 1, len(one.values)) for first, one in found if one.is_learned]


def family_log_probs(
    model: SeqRecForNextItem, hidden: Float[Tensor, "N D"], family: Family
) -> Float[Tensor, "N F"]:
    """The log-probability of each value after each state, in nats; the values' sum to 1."""
    tokens = torch.arange(family.first_token, family.end, device=hidden.device)
    return (hidden @ model.token_vectors(tokens).T).float().log_softmax(dim=1)


def behaviour_cross_entropy(
    model: SeqRecForNextItem,
    hidden: Float[Tensor, "N D"],
    labels: Int[Tensor, " N"],
    families: Sequence[Family],
    total: float,
) -> Float[Tensor, ""]:
    """The cross-entropy of behaviours, each within its own family, in nats.

    Members of an ensemble learn each for itself: the mean of their losses.

    Args:
        model: what says them.
        hidden: states.
        labels: the token that is to be said next; those of no family do not count.
        families: the behaviours.
        total: what the sum over labels is divided by.
    """
    losses = [hidden.sum() * 0.0]
    for family in families:
        is_own = (labels >= family.first_token) & (labels < family.end)
        wanted = labels[is_own] - family.first_token
        tokens = torch.arange(family.first_token, family.end, device=hidden.device)
        members = model.members(hidden[is_own], model.token_vectors(tokens))
        losses += [
            F.cross_entropy((states @ vectors.T).float(), wanted, reduction="sum") / len(members)
            for states, vectors in members
        ]
    return torch.stack(losses).sum() / max(total, 1.0)
