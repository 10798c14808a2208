"""Features of the next item, and how likely they are, as a recommender's model predicts them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from seqrec.data.item_table import ItemTable
from seqrec.errors import SeqRecError
from seqrec.ranking.feature_predictions import describe_plans, plan_features, value_likelihoods
from seqrec.ranking.given_histories import list_histories
from seqrec.ranking.history_reading import find_items
from seqrec.ranking.model_ranker import ModelRanker
from seqrec.tokens.events.histories import EventHistories
from seqrec.tokens.events.requests import Event


class PredictsFeatures(ModelRanker):
    """A ranker whose model may have learned features of events."""

    table: ItemTable

    def add_plans(self, histories: Sequence[Int[np.ndarray, " T"]]) -> EventHistories:
        """Return the histories with the predicted features of the next item as conditions.

        Raises:
            SeqRecError: the model has no feature that it can plan with.
        """
        return plan_features(self, histories)

    def get_plans(self, histories: EventHistories) -> list[dict[str, str]]:
        """Return the values that ``add_plans`` set for every history, by feature name."""
        assert self.events is not None
        return describe_plans(self.events, histories)

    def likelihood(
        self,
        histories: Sequence[Sequence[Event]],
        item_ids: Sequence[Sequence[str]],
        name: str,
        value: Any,
    ) -> list[list[float]]:
        """Return the probability of a feature's value for items that come next.

        Args:
            histories: ids or events, oldest first.
            item_ids: candidate next items of every history.
            name: a learned feature that follows its item, or the column that it is read from.
            value: a value of the feature, such as 5 for ``rating``.

        Raises:
            SeqRecError: an item, feature or value that the model does not know, or a feature
                that it has not learned.
        """
        items, unknown = find_items(self.table, list_histories(item_ids))
        if unknown:
            raise SeqRecError(f"likelihood: {unknown[0]!r} is not in the catalog")
        return self.compute_likelihood(self._known(histories), items, name, value)

    def compute_likelihood(
        self,
        histories: Sequence[Int[np.ndarray, " T"]],
        items: Sequence[Int[np.ndarray, " K"]],
        name: str,
        value: Any,
    ) -> list[list[float]]:
        """Return ``likelihood`` for histories and candidates as items; conditions are ignored."""
        return value_likelihoods(self, histories, items, name, value)

    def _known(self, histories: Any) -> Sequence[Int[np.ndarray, " T"]]:
        """Return histories as model inputs."""
        raise NotImplementedError
