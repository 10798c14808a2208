"""Histories of ids or events, as users give them, as a model reads them."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Int

from seqrec.data.item_table import ItemTable
from seqrec.ranking.feature_predictions import describe_plans
from seqrec.ranking.given_histories import list_keys, read_events, refuse_conditions
from seqrec.ranking.model_ranker import ModelRanker
from seqrec.ranking.served import Given, Reading, check_guidance
from seqrec.tokens.events.histories import EventHistories
from seqrec.tokens.events.requests import Event, get_item_id

AddPlans = Callable[[Sequence[Int[np.ndarray, " T"]]], EventHistories]


def read_given(
    ranker: ModelRanker,
    table: ItemTable,
    histories: list[list[Event]],
    reading: Reading,
    add_plans: AddPlans,
) -> Given:
    """Return histories as inputs of a model.

    Args:
        ranker: the model.
        table: its catalog.
        histories: ids or events, oldest first.
        reading: conditions and plans.
        add_plans: predicts the features of the next items.

    Raises:
        SeqRecError: events out of order, a condition that the model does not know, or no feature
            that it can plan with.
    """
    check_guidance(reading)
    items, unknown = find_items(table, histories)
    if ranker.events is None:
        refuse_conditions(ranker.name, reading.conditions)
        known: Sequence[Int[np.ndarray, " T"]] = items
        unknown_features = list_keys(histories)
    else:
        read, unknown_features = read_events(
            histories, items, table, ranker.events, reading.conditions
        )
        known = read.with_guidance(reading.guidance)
    if not reading.plan:
        return Given(items, known, unknown, unknown_features)
    planned = add_plans(known)
    assert ranker.events is not None
    plans = describe_plans(ranker.events, planned)
    return Given(items, planned, unknown, unknown_features, plans)


def find_items(
    table: ItemTable, histories: Sequence[Sequence[Event]]
) -> tuple[list[Int[np.ndarray, " T"]], list[str]]:
    """Return histories of ids or events as items, and the ids that are not in the catalog."""
    found = [
        table.find([one if isinstance(one, str) else get_item_id(one) for one in history])
        for history in histories
    ]
    return [items for items, _ in found], [item_id for _, ids in found for item_id in ids]
