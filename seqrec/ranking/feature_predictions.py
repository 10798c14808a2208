"""Event features that a model predicts: plans of the next item, likelihoods of values."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from seqrec.errors import SeqRecError
from seqrec.models.feature_heads import value_probabilities, with_plans
from seqrec.ranking.model_ranker import ModelRanker
from seqrec.tokens.events.event_tokens import EventTokens
from seqrec.tokens.events.histories import EventHistories
from seqrec.tokens.events.values import UNKNOWN


def plan_features(
    ranker: ModelRanker, histories: Sequence[Int[np.ndarray, " T"]]
) -> EventHistories:
    """Return the histories with the predicted features of the next item as conditions.

    Raises:
        SeqRecError: the model has no feature that it can plan with.
    """
    events = ranker.events
    if events is None or not events.grammar.plan_indices:
        raise SeqRecError(
            f"plan: {ranker.name} has learned no feature that precedes its item; train it with "
            "one in data.events (place: before, is_learned: true)"
        )
    if not isinstance(histories, EventHistories):
        histories = events.without_features(histories)
    return with_plans(ranker.model, events, histories)


def describe_plans(events: EventTokens, histories: EventHistories) -> list[dict[str, str]]:
    """Return the planned values of every history, by the names of their features."""
    grammar = events.grammar
    planned = [(index, grammar.features[index]) for index in grammar.plan_indices]
    return [
        {
            feature.name: feature.values[codes[index] - 1]
            for index, feature in planned
            if codes[index] != UNKNOWN
        }
        for codes in histories.conditions
    ]


def value_likelihoods(
    ranker: ModelRanker,
    histories: Sequence[Int[np.ndarray, " T"]],
    items: Sequence[Int[np.ndarray, " K"]],
    name: str,
    value: Any,
) -> list[list[float]]:
    """Return the probability of a feature's value for each item, if it came next.

    Conditions of the histories are ignored.

    Args:
        ranker: ranker of a model with a grammar.
        histories: items, oldest first.
        items: candidate next items of each history.
        name: a learned feature that follows its item, or the column that it is read from.
        value: a value of the feature.

    Raises:
        SeqRecError: a feature or value that the model does not know or has not learned.
    """
    key, events = f"likelihood {name}={value}", ranker.events
    if events is None:
        raise SeqRecError(f"{key}: {ranker.name} reads items only; train it with data.events")
    grammar, max_length = events.grammar, ranker.model.config.max_length
    index = grammar.find_feature(name, "after", key)
    if not grammar.is_learned[index]:
        raise SeqRecError(f"{key}: the model has not learned it (is_learned: true)")
    code = grammar.get_code(index, value, key)
    if isinstance(histories, EventHistories):
        histories = events.without_conditions(histories)
    max_tokens = (max_length - 1) * ranker.block_size
    likelihoods = []
    for row, candidates in enumerate(items):
        flat = events.flatten(histories[row : row + 1], max_length)
        tokens, times = events.encode(flat.items, flat.codes).flatten(), None
        begin = max(len(tokens) - max_tokens, 0)
        if flat.times is not None:
            times = events.token_times(flat.times).reshape(-1, 2)[begin:]
        tokens = tokens[begin:]
        probabilities = value_probabilities(ranker.model, events, tokens, candidates, index, times)
        likelihoods.append(probabilities[:, code - 1].tolist())
    return likelihoods
