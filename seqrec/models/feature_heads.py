"""Prediction of event features: a softmax over the values of one feature."""

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
    """The tokens of the values of one feature, without its unknown token."""

    first_token: int
    size: int

    @property
    def end(self) -> int:
        """One past the last token."""
        return self.first_token + self.size


def get_vocabulary(events: EventTokens, index: int) -> FeatureVocabulary:
    """Return the vocabulary of the grammar's feature ``index``."""
    first_token = int(events.first_tokens[index]) + 1
    return FeatureVocabulary(first_token, len(events.grammar.features[index].values))


def get_learned_vocabularies(events: EventTokens) -> list[FeatureVocabulary]:
    """Return the vocabularies of the features that a model learns to predict."""
    indices = np.flatnonzero(events.grammar.is_learned).tolist()
    return [get_vocabulary(events, index) for index in indices]


def value_log_probs(
    model: SeqRecForNextItem, hidden: Float[Tensor, "N D"], vocabulary: FeatureVocabulary
) -> Float[Tensor, "N F"]:
    """Return the log-probability of each value after each state, in nats."""
    tokens = torch.arange(vocabulary.first_token, vocabulary.end, device=hidden.device)
    return (hidden @ model.token_vectors(tokens).T).float().log_softmax(dim=1)


def feature_cross_entropy(
    model: SeqRecForNextItem,
    hidden: Float[Tensor, "N D"],
    labels: Int[Tensor, " N"],
    vocabularies: Sequence[FeatureVocabulary],
    total: float,
) -> Float[Tensor, ""]:
    """Return the cross-entropy of features, each within its own vocabulary, in nats.

    For an ensemble it is the mean of the members' losses, so that each learns independently.

    Args:
        model: model that predicts the features.
        hidden: states.
        labels: next token after each state; tokens outside the vocabularies do not count.
        vocabularies: vocabularies of the learned features.
        total: divisor of the sum over labels.
    """
    losses = [hidden.sum() * 0.0]
    for vocabulary in vocabularies:
        is_own = (labels >= vocabulary.first_token) & (labels < vocabulary.end)
        values = labels[is_own] - vocabulary.first_token
        tokens = torch.arange(vocabulary.first_token, vocabulary.end, device=hidden.device)
        members = model.per_member(CatalogScores(hidden[is_own], model.token_vectors(tokens)))
        losses += [
            F.cross_entropy((member.hidden @ member.item_weight.T).float(), values, reduction="sum")
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
    index: int,
    times: Int64[np.ndarray, "L 2"] | None = None,
) -> Float[np.ndarray, "K F"]:
    """Return the probability of each value of a learned feature, if an item came next.

    Unknown features between the item and this feature are marginalised: the sum over all their
    combinations, weighted by the model's probability of each. The time of the item is known only
    to models with ``target_time``. The probabilities of an item sum to 1.

    Args:
        model: model that learned the feature.
        events: event tokens of its grammar.
        history: tokens of the events before the item.
        items: candidate next items.
        index: index of the feature in the grammar.
        times: event time and reference time of each token of the history, for models with a time
            bias.
    """
    features = events.grammar.features[:index]
    unknown = [n for n, feature in enumerate(features) if feature.source != "item"]
    every = list(product(*(range(1, features[n].num_codes) for n in unknown)))
    combinations = np.array(every, dtype=np.int64).reshape(len(every), len(unknown))
    codes = np.tile(events.coder.item_feature_codes(items)[:, :index], (len(combinations), 1))
    codes[:, unknown] = combinations.repeat(len(items), axis=0)
    item_tokens = np.tile(events.tokens.encode(items), (len(combinations), 1))
    ends = np.concatenate([item_tokens, events.first_tokens[:index] + codes], axis=1)
    input_ids = np.concatenate([np.tile(history, (len(ends), 1)), ends], axis=1)
    code_tensor = torch.from_numpy(codes).long().to(model.device)
    row_times = None
    if times is not None:
        has_target_time = events.grammar.times == "target_time"
        item_time = times[-1:, 1].max(initial=NO_TIME) if has_target_time else NO_TIME
        end_times = np.full((ends.shape[1], 2), item_time, dtype=np.int64)
        row_times = torch.from_numpy(np.concatenate([times, end_times])).to(model.device)
    vocabulary = get_vocabulary(events, index)
    parts = [torch.empty(0, vocabulary.size, device=model.device)]
    num_rows = max(MAX_POSITIONS // input_ids.shape[1], 1)
    for start in range(0, len(ends), num_rows):
        rows = slice(start, start + num_rows)
        tokens = torch.from_numpy(input_ids[rows]).to(model.device)
        batch_times = None if row_times is None else row_times.expand(len(tokens), -1, -1)
        states = model.hidden_states(tokens, times=batch_times)
        states = states[:, -1 - index :]
        log_probs = value_log_probs(model, states[:, index], vocabulary)
        for n in unknown:
            before = value_log_probs(model, states[:, n], get_vocabulary(events, n))
            log_probs = log_probs + before.gather(1, code_tensor[rows, n, None] - 1)
        parts.append(log_probs)
    log_probs = torch.cat(parts).view(len(combinations), len(items), vocabulary.size)
    return log_probs.logsumexp(dim=0).exp().cpu().numpy()


@torch.inference_mode()
def with_plans(
    model: SeqRecForNextItem, events: EventTokens, histories: EventHistories
) -> EventHistories:
    """Return the histories with the model's most likely features of the next item as conditions.

    The plannable features are set in order, each to its most likely value given those before it.
    Given conditions are not changed. Empty histories have no plan.

    Args:
        model: model that learned the features.
        events: event tokens of its grammar.
        histories: histories with their conditions.
    """
    if not len(histories):
        return histories
    conditions = histories.conditions.copy()
    is_empty = np.array([not len(history) for history in histories], dtype=bool)
    for index in events.grammar.plan_indices:
        codes = _most_likely_codes(model, events, replace(histories, conditions=conditions), index)
        is_planned = (conditions[:, index] == UNKNOWN) & ~is_empty
        conditions[:, index] = np.where(is_planned, codes, conditions[:, index])
    return replace(histories, conditions=conditions)


def _most_likely_codes(
    model: SeqRecForNextItem, events: EventTokens, histories: EventHistories, index: int
) -> Int[np.ndarray, " H"]:
    """Return the most likely code of a feature that precedes the next item of every history."""
    flat = events.flatten(histories, model.config.max_length)
    cuts = np.cumsum(flat.lengths)[:-1]
    tokens = [blocks.flatten() for blocks in np.split(events.encode(flat.items, flat.codes), cuts)]
    times = None
    if flat.times is not None:
        times = [part.reshape(-1, 2) for part in np.split(events.token_times(flat.times), cuts)]
    num_rows = max(MAX_POSITIONS // (int(flat.lengths.max(initial=1)) * events.block_size), 1)
    codes = [np.empty(0, dtype=np.int64)]
    for start in range(0, len(histories), num_rows):
        rows = slice(start, start + num_rows)
        input_ids = pad_rows(tokens[rows], events.tokens.pad_token_id)
        batch_times = None if times is None else pad_rows(times[rows], NO_TIME).to(model.device)
        lengths = torch.tensor([len(row) for row in tokens[rows]])
        is_token = torch.arange(input_ids.shape[1]) < lengths[:, None]
        states = model.hidden_states(
            input_ids.to(model.device), is_token.long().to(model.device), batch_times
        )
        last = states[torch.arange(len(lengths)), lengths - events.block_size + index]
        log_probs = value_log_probs(model, last, get_vocabulary(events, index))
        codes.append(1 + log_probs.argmax(dim=1).cpu().numpy())
    return np.concatenate(codes)


def pad_rows(rows: Sequence[Int[np.ndarray, "T *n"]], fill: int) -> Int[Tensor, "B T *n"]:
    """Return arrays of different lengths as rows of one tensor, padded with ``fill``."""
    longest = max(len(row) for row in rows)
    padded = np.full((len(rows), longest, *rows[0].shape[1:]), fill, dtype=np.int64)
    for number, row in enumerate(rows):
        padded[number, : len(row)] = row
    return torch.from_numpy(padded)
