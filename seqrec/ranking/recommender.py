"""The ``Recommender``: recommendations from a model folder."""

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

import seqrec
from seqrec.arguments import check_arguments
from seqrec.data.item_table import ItemTable
from seqrec.errors import SeqRecError, refuse_unreadable
from seqrec.models.folder import model_folder
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.models.unchanged import read_unchanged
from seqrec.models.weights import COPY
from seqrec.ranking.explained import explain_lists, list_explained
from seqrec.ranking.feature_answers import PredictsFeatures
from seqrec.ranking.fit_attribute import FitAttribute
from seqrec.ranking.given_histories import list_histories
from seqrec.ranking.history_reading import read_given
from seqrec.ranking.hub import HubFolder
from seqrec.ranking.index_lists import rank_by_index
from seqrec.ranking.list_options import ListOptions
from seqrec.ranking.model_parts import read_parts
from seqrec.ranking.ranker import ScoreTile
from seqrec.ranking.served import Given, Reading, Served, describe_unknown
from seqrec.ranking.text_answers import AnswersTexts
from seqrec.retrieval.allowed_items import AllowedItems
from seqrec.retrieval.exact import TopK
from seqrec.retrieval.index import VectorIndex
from seqrec.tokens.events.event_tokens import EventTokens
from seqrec.tokens.events.requests import Event
from seqrec.tokens.tokenizer import ItemTokens

logger = logging.getLogger(__name__)


class Recommender(AnswersTexts, PredictsFeatures, HubFolder):
    """Ranks and recommends with the model of a folder.

    Item ids are those of the log. Ids outside the catalog are skipped and counted in a log
    message; for a history without known items the most popular items of training are recommended.
    Histories may also hold events, as rows of the log: ``{"item_id": "318", "rating": 5}``;
    features and values that the model does not know are named in a log message.

    The weights are those of the folder for good: item vectors and fingerprint are computed once.
    """

    fit = FitAttribute()
    """Prepares a log, trains a model on it and returns its recommender; see ``seqrec.fit``."""

    def __init__(
        self,
        name: str,
        model: SeqRecForNextItem,
        tokens: ItemTokens,
        items,
        fingerprint: str,
        events: EventTokens | None = None,
        folder: Path | None = None,
    ) -> None:
        super().__init__(name, model, tokens, events)
        self.folder = folder
        """The folder that it was read from; None if it has none."""
        self.items = items
        """``items.parquet``: a row per item, in catalog order."""
        self.catalog_fingerprint = fingerprint
        self.table = ItemTable.build(items)
        self.item_ids: list[str] = self.table.item_ids
        self.titles: list[str] = self.table.titles

    @classmethod
    @check_arguments
    def from_pretrained(cls, folder: str | Path) -> "Recommender":
        """Return the recommender of a model folder or run folder.

        If another process replaces the folder meanwhile, it is that of the old one or of the new
        one, whole.

        Raises:
            SeqRecError: a file is missing or broken, or items, tokenizer and weights do not
                belong together.
        """
        folder = model_folder(folder)
        with refuse_unreadable(str(folder), COPY):
            return read_unchanged(folder, partial(cls._open, folder))

    @classmethod
    def _open(cls, folder: Path) -> "Recommender":
        parts = read_parts(folder)
        name = folder.parent.name if folder.name == "model" else folder.name
        return cls(name, *parts, folder)

    @check_arguments
    def recommend(
        self,
        histories: Any = None,
        k: int = 10,
        *,
        text: Any = None,
        exclude_seen: bool = True,
        conditions: Mapping[str, Any] | None = None,
        plan: bool = False,
        guidance: float = 1.0,
        allow: Any = None,
        exclude: Any = None,
        candidates: Any = None,
        where: str | None = None,
        mmr: float | None = None,
        max_per: Sequence[str] = (),
        pin: Mapping[Any, Any] | Sequence[Any] = (),
        explain: bool = False,
    ) -> Any:
        """Return the ``k`` best items of every history as ``(item_id, score)``, best first.

        A list is shorter where fewer than ``k`` unseen and allowed items exist.

        Args:
            histories: ids or events of each history, oldest first: lists, generators, arrays or
                series; a mapping from users to them, which gives a mapping; or a frame of
                interactions, which gives a frame with its names and types of users and items.
                May be left out beside a text.
            k: length of the lists.
            text: a request in words, as in ``seqrec.recommend``; the histories are a list then, of
                one empty history if absent. A model with both heads reads it itself: it names
                items as ``<item:ID>``, and may be the messages of a conversation, or a request for
                each history. The list is what the assistant would name first.
            exclude_seen: exclude the items of the history, and those that a request names.
            conditions: feature values of the recommended items, such as ``{"rating": 5}``, for
                features that the model's grammar places before the item.
            plan: predict the features of the next item first, and use them as conditions.
            guidance: weight of conditions and plans, and of the soft words of a text; 1 reads them
                as they were trained.
            allow: ids that may be listed: for all, or (a mapping, a frame with users, or a list
                per history) for each; this and the rest as in ``seqrec.recommend``.
            exclude: ids that may not be listed.
            candidates: ids to rank, also seen ones.
            where: a condition on item columns.
            mmr: weight of the score against similarity to items listed before.
            max_per: ``COLUMN:N``: at most N items of each value of a column.
            pin: items that stand in every list.
            explain: return ``(item_id, score, explanation)``, for histories in a list.

        Raises:
            SeqRecError: events out of order, a condition that the model does not know, or no
                feature that it can plan with.
        """
        if k < 1:
            raise SeqRecError(f"k is {k}: at least 1")
        options = ListOptions(allow, exclude, candidates, where, mmr, max_per, pin)
        reading = Reading(conditions or {}, plan, guidance)
        if text is not None:
            if explain:
                raise SeqRecError("explain goes without text; seqrec.recommend explains both")
            if self.reads_texts:
                return self.recommend_for_text(text, histories, k, exclude_seen, options, reading)
            more = {
                **vars(options),
                "conditions": conditions,
                "plan": plan,
                "guidance": guidance,
                "text": text,
            }
            given = [[]] if histories is None else histories
            return seqrec.recommend(self, histories=given, k=k, exclude_seen=exclude_seen, **more)
        served = self.serve()
        histories = list_explained(histories) if explain else histories
        lists = served.recommend(histories, k, exclude_seen, options, reading)
        return explain_lists(served, histories, lists, reading) if explain else lists

    def serve(self) -> Served:
        """Return the recommender with its catalog, to list items under rules."""
        columns = [] if self.events is None else self.events.grammar.columns
        return Served(self, self.table, columns, self._read_given, self.rank)

    def _read_given(self, histories: list[list[Event]], reading: Reading) -> Given:
        return read_given(self, self.table, histories, reading, self.add_plans)

    def model_histories(
        self, histories: Sequence[Int[np.ndarray, " T"]]
    ) -> Sequence[Int[np.ndarray, " T"]]:
        """Return histories with the items of the model, whatever catalog they were read with."""
        return histories

    def _known(self, histories: Any) -> Sequence[Int[np.ndarray, " T"]]:
        """Return histories as model inputs, and log what is skipped or unknown."""
        histories = list_histories(histories)
        given = self._read_given(histories, Reading({}, plan=False))
        for note in describe_unknown(given):
            logger.warning(note)
        return given.histories

    def with_request(self, vector: Float[np.ndarray, " F"], guidance: float = 1.0) -> Self:
        if self.model.query_token is not None:
            self._get_request_weight()  # kept here, so that it is computed once for all copies
        return super().with_request(vector, guidance)

    def score_tiles(self, histories: Sequence[Int[np.ndarray, " T"]]) -> ScoreTile:
        """Return the model's scores; for empty histories without a request the item counts."""
        is_empty = torch.tensor([len(history) == 0 for history in histories])
        scores = super().score_tiles(histories)
        if self.request is not None or not is_empty.any():
            return scores
        is_empty, counts = is_empty[:, None].to(self.model.device), self._popularity
        return lambda start, stop: torch.where(is_empty, counts[start:stop], scores(start, stop))

    def score_items(
        self, histories: Sequence[Int[np.ndarray, " T"]], items: Int[Tensor, "B C"]
    ) -> Float[Tensor, "B C"]:
        """Return the model's scores; for empty histories the item counts of the training data."""
        scores = super().score_items(histories, items)
        is_empty = torch.tensor([[len(history) == 0] for history in histories])
        counts = self._popularity[items.to(scores.device)]
        return torch.where(is_empty.to(scores.device), counts, scores)

    def embed(self, histories: Sequence[Sequence[Event]]) -> Float[np.ndarray, "B D"]:
        """Return the vector of every history; its product with an item vector is the score.

        A transition prior adds to this score; see ``scores_are_products``.
        """
        return self.embed_histories(self._known(histories))

    def rank_by_index(
        self,
        index: VectorIndex,
        histories: Sequence[Int[np.ndarray, " T"]],
        k: int,
        *,
        exclude_seen: bool = True,
        allowed: AllowedItems | None = None,
        is_rescored: bool = False,
    ) -> TopK:
        """Return the lists of ``rank`` through an index; see ``index_lists.rank_by_index``."""
        return rank_by_index(
            self,
            index,
            histories,
            k,
            exclude_seen=exclude_seen,
            allowed=allowed,
            is_rescored=is_rescored,
        )

    @cached_property
    def fingerprint(self) -> str:
        return super().fingerprint

    def _get_item_weight(self) -> Float[Tensor, "I D"]:
        return self._item_weight

    @cached_property
    def _item_weight(self) -> Float[Tensor, "I D"]:
        with torch.no_grad():
            return super()._get_item_weight()

    def _get_request_weight(self) -> Float[Tensor, "I E"]:
        return self._request_weight

    @cached_property
    def _request_weight(self) -> Float[Tensor, "I E"]:
        with torch.no_grad():
            return super()._get_request_weight()

    @cached_property
    def _popularity(self) -> Float[Tensor, " I"]:
        """The number of training interactions of every item, as scores."""
        counts = self.items["num_interactions"].to_numpy().astype(np.float32)
        return torch.from_numpy(counts).to(self.model.device)

    def item_embeddings(self) -> Float[np.ndarray, "I E"]:
        """Return the vector of every item, in the order of ``item_ids``.

        A model that reads requests in words has the items' content beside their vectors.
        """
        return super().item_embeddings()
