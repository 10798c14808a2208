"""Saying features: a softmax over the tokens of one feature, not over the vocabulary."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Int64
from torch import Tensor

from seqrec.losses.softmax import CatalogScores
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.tokens.events.event_tokens import EventTokens
from seqrec.tokens.events.histories import EventHistories
from seqrec.tokens.events.times import NO_TIME
from seqrec.tokens.events.values import UNKNOWN

MAX_POSITIONS = 2048
"""Positions that a model reads at once."""


class FeatureVocabulary(NamedTuple):
    """The tokens of one feature's values, the open one left out."""

    first_token: int
    size: int

    @property
    def end(self) -> int:
        """One past the last token."""
        return self.first_token + self.size


def get_vocabulary(events: EventTokens, place: int) -> FeatureVocabulary:
    """The vocabulary of the feature at a place of the grammar."""
    first_token = int(events.first_tokens[place]) + 1
    return FeatureVocabulary(first_token, len(events.grammar.features[place].values))


def get_learned_vocabularies(events: EventTokens) -> list[FeatureVocabulary]:
    """The vocabularies of the features that a model learns to say."""
    places = np.flatnonzero(events.grammar.is_learned).tolist()
    return [get_vocabulary(events, place) for place in places]


def value_log_probs(
    model: SeqRecForNextItem, hidden: Float[Tensor, "N D"], vocabulary: FeatureVocabulary
) -> Float[Tensor, "N F"]:
    """The log-probability of each value after each state, in nats; the values' sum to 1."""
    tokens = torch.arange(vocabulary.first_token, vocabulary.end, device=hidden.device)
    return (hidden @ model.token_vectors(tokens).T).float().log_softmax(dim=1)


def feature_cross_entropy(
    model: SeqRecForNextItem,
    hidden: Float[Tensor, "N D"],
    labels: Int[Tensor, " N"],
    vocabularies: Sequence[FeatureVocabulary],
    total: float,
) -> Float[Tensor, ""]:
    """The cross-entropy of features, each within its own vocabulary, in nats.

    Members of an ensemble learn each for itself: the mean of their losses.

    Args:
        model: what says them.
        hidden: states.
        labels: the token that is to be said next; those of no vocabulary do not count.
        vocabularies: the features.
        total: what the sum over labels is divided by.
    """
    losses = [hidden.sum() * 0.0]
    for vocabulary in vocabularies:
        is_own = (labels >= vocabulary.first_token) & (labels < vocabulary.end)
        wanted = labels[is_own] - vocabulary.first_token
        tokens = torch.arange(vocabulary.first_token, vocabulary.end, device=hidden.device)
        members = model.per_member(CatalogScores(hidden[is_own], model.token_vectors(tokens)))
        losses += [
            F.cross_entropy((member.hidden @ member.item_weight.T).float(), wanted, reduction="sum")
            / len(members)
            for member in members
        ]
    return torch.stack(losses).sum() / max(total, 1.0)


@torch.inference_mode()
def value_probabilities(
    model: SeqRecForNextItem,
    events: EventTokens,
    history: Int[np.ndarray, " L"],
    items: Int[np.ndarray, " K"],
    place: int,
    times: Int64[np.ndarray, "L 2"] | None = None,
) -> Float[np.ndarray, "K F"]:
    """How likely each value of a learned feature is after each title, were it watched next.

    Learned features between title and this one are not known yet: the sum over all that they
    may be, each as likely as the model says. When the title would be watched is known where the
    model is told. The values' sum is 1.

    Args:
        model: that learned it.
        events: of its grammar.
        history: tokens of the blocks before the title.
        items: titles.
        place: of the feature in the grammar.
        times: of each token of the history, for models with a time bias.
    """
    features = events.grammar.features[:place]
    open_places = [n for n, one in enumerate(features) if one.source != "item"]
    every = list(product(*(range(1, features[n].num_codes) for n in open_places)))
    ways = np.array(every, dtype=np.int64).reshape(len(every), len(open_places))
    told = np.tile(events.coder.item_feature_codes(items)[:, :place], (len(ways), 1))
    told[:, open_places] = ways.repeat(len(items), axis=0)
    titles = np.tile(events.tokens.encode(items), (len(ways), 1))
    ends = np.concatenate([titles, events.first_tokens[:place] + told], axis=1)
    input_ids = np.concatenate([np.tile(history, (len(ends), 1)), ends], axis=1)
    codes = torch.from_numpy(told).long().to(model.device)
    of_row = None
    if times is not None:
        is_told = events.grammar.times == "target_time"
        when = times[-1:, 1].max(initial=NO_TIME) if is_told else NO_TIME
        of_title = np.full((ends.shape[1], 2), when, dtype=np.int64)
        of_row = torch.from_numpy(np.concatenate([times, of_title])).to(model.device)
    vocabulary = get_vocabulary(events, place)
    found = [torch.empty(0, vocabulary.size, device=model.device)]
    num_rows = max(MAX_POSITIONS // input_ids.shape[1], 1)
    for start in range(0, len(ends), num_rows):
        rows = slice(start, start + num_rows)
        tokens = torch.from_numpy(input_ids[rows]).to(model.device)
        of_rows = None if of_row is None else of_row.expand(len(tokens), -1, -1)
        states = model.hidden_states(tokens, times=of_rows)
        states = states[:, -1 - place :]
        log_probs = value_log_probs(model, states[:, place], vocabulary)
        for n in open_places:
            before = value_log_probs(model, states[:, n], get_vocabulary(events, n))
            log_probs = log_probs + before.gather(1, codes[rows, n, None] - 1)
        found.append(log_probs)
    log_probs = torch.cat(found).view(len(ways), len(items), vocabulary.size)
    return log_probs.logsumexp(dim=0).exp().cpu().numpy()


@torch.inference_mode()
def with_plans(
    model: SeqRecForNextItem, events: EventTokens, histories: EventHistories
) -> EventHistories:
    """The same histories, asked for titles of the kind that the model says comes next.

    Of every feature that it can plan with, one after the other, the most likely value, given
    those before it. What is asked for already stands; empty histories have no plan.

    Args:
        model: that learned to say them.
        events: of its grammar.
        histories: what it reads.
    """
    if not len(histories):
        return histories
    asked = histories.conditions.copy()
    is_empty = np.array([not len(history) for history in histories], dtype=bool)
    for place in events.grammar.plan_indices:
        likeliest = _likeliest(model, events, replace(histories, conditions=asked), place)
        asked[:, place] = np.where(
            (asked[:, place] == UNKNOWN) & ~is_empty, likeliest, asked[:, place]
        )
    return replace(histories, conditions=asked)


def _likeliest(
    model: SeqRecForNextItem, events: EventTokens, histories: EventHistories, place: int
) -> Int[np.ndarray, " H"]:
    """The most likely code of a feature before the next title of every history."""
    read = events.flatten(histories, model.config.max_length)
    cuts = np.cumsum(read.lengths)[:-1]
    tokens = [blocks.flatten() for blocks in np.split(events.encode(read.items, read.codes), cuts)]
    times = None
    if read.times is not None:
        times = [of.reshape(-1, 2) for of in np.split(events.token_times(read.times), cuts)]
    num_rows = max(MAX_POSITIONS // (int(read.lengths.max(initial=1)) * events.block_size), 1)
    found = [np.empty(0, dtype=np.int64)]
    for start in range(0, len(histories), num_rows):
        rows = slice(start, start + num_rows)
        input_ids = pad_rows(tokens[rows], events.tokens.pad_token_id)
        of_rows = None if times is None else pad_rows(times[rows], NO_TIME).to(model.device)
        lengths = torch.tensor([len(row) for row in tokens[rows]])
        is_read = torch.arange(input_ids.shape[1]) < lengths[:, None]
        states = model.hidden_states(
            input_ids.to(model.device), is_read.long().to(model.device), of_rows
        )
        said = states[torch.arange(len(lengths)), lengths - events.block_size + place]
        log_probs = value_log_probs(model, said, get_vocabulary(events, place))
        found.append(1 + log_probs.argmax(dim=1).cpu().numpy())
    return np.concatenate(found)


def pad_rows(rows: Sequence[Int[np.ndarray, "T *n"]], fill: int) -> Int[Tensor, "B T *n"]:
    """Arrays of different lengths as rows of one tensor."""
    longest = max(len(row) for row in rows)
    found = np.full((len(rows), longest, *rows[0].shape[1:]), fill, dtype=np.int64)
    for number, row in enumerate(rows):
        found[number, : len(row)] = row
    return torch.from_numpy(found)
