"""The response for one history: recommendations, unknown ids and features, likelihoods."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from seqrec.ranking.recommender import Recommender
from seqrec.retrieval.exact import TopK
from seqrec.tokens.events.requests import Event

Rank = Callable[[Sequence[Int[np.ndarray, " T"]]], TopK]


def answer_history(
    recommender: Recommender,
    history: Sequence[Event],
    rank: Rank,
    conditions: Mapping[str, Any],
    likelihood: tuple[str, Any] | None,
    plan: bool,
) -> dict[str, Any]:
    """Return the recommendations for one history.

    Args:
        recommender: the model.
        history: item ids or events, oldest first.
        rank: returns the lists of encoded histories.
        conditions: values of features before the recommended items.
        likelihood: a learned feature and its value, whose probability each item gets.
        plan: predict features of the next item first, as conditions.
    """
    known, unknown = recommender.known_items([history])
    events, unknown_features = recommender.known_events([history], known, conditions)
    plan_details = {}
    if plan:
        events = recommender.add_plans(events)
        (plan_details["plan"],) = recommender.get_plans(events)
    ranked = rank(events)
    titles = recommender.titles
    pairs = zip(ranked.items[0].tolist(), ranked.scores[0].tolist(), strict=True)
    rows = [
        {
            "rank": position,
            "item_id": recommender.item_ids[item],
            "score": score,
            "title": titles[item],
        }
        for position, (item, score) in enumerate(pairs, 1)
        if item >= 0
    ]
    if likelihood is not None:
        items = ranked.items[0].numpy()
        (probabilities,) = recommender.compute_likelihood(events, [items[items >= 0]], *likelihood)
        for row, probability in zip(rows, probabilities, strict=True):
            row["likelihood"] = probability
    return {
        "history": [
            {"item_id": recommender.item_ids[item], "title": titles[item]} for item in known[0]
        ],
        "unknown_items": unknown,
        "unknown_features": unknown_features,
        "fallback": None if len(known[0]) else "most watched in training",
        **plan_details,
        "recommendations": rows,
    }
