"""The ``Recommender``: a model folder, ready to answer."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from seqrec.data.catalog import catalog_fingerprint, read_model_items
from seqrec.errors import SeqRecError
from seqrec.models.feature_heads import value_probabilities, with_plans
from seqrec.models.folder import ITEMS_FILE, load_model, model_coder, model_folder
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.ranking.model_ranker import ModelRanker
from seqrec.ranking.ranker import ScoreTile
from seqrec.retrieval.exact import TopK
from seqrec.retrieval.index import ItemIndex, search
from seqrec.tokens.events.event_tokens import EventTokens
from seqrec.tokens.events.histories import EventHistories
from seqrec.tokens.events.requests import (
    Event,
    build_event_histories,
    get_item_id,
    get_keys,
    parse_conditions,
    parse_events,
)
from seqrec.tokens.events.values import UNKNOWN
from seqrec.tokens.tokenizer import ItemTokens, load_tokenizer, tokenizer_fingerprint

logger = logging.getLogger(__name__)


class Recommender(ModelRanker):
    """A model folder, ready to answer.

    It speaks item ids as the log spells them. Ids that the catalog does not hold are skipped and
    counted in a log message; a history of which nothing is left is answered with the titles
    most watched in training. Histories may also hold events, as rows of the log:
    ``{"item_id": "318", "rating": 5}``; what the model does not know of them is named once.
    """

    def __init__(
        self,
        name: str,
        model: SeqRecForNextItem,
        tokens: ItemTokens,
        items,
        fingerprint: str,
        events: EventTokens | None = None,
    ) -> None:
        super().__init__(name, model, tokens, events)
        self.items = items
        """``items.parquet``: a row an item, in catalog order."""
        self.catalog_fingerprint = fingerprint
        self.item_ids: list[str] = items["item_id"].to_list()
        self.titles: list[str] = self.item_ids
        if "title" in items.columns:
            self.titles = items["title"].fill_null(items["item_id"]).to_list()
        self._item_of = {item_id: item for item, item_id in enumerate(self.item_ids)}

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "Recommender":
        """The recommender of a model folder, or of the run folder that holds one.

        Raises:
            SeqRecError: a file is missing or broken, or items, tokenizer and weights do not
                belong together.
        """
        folder = model_folder(folder)
        model = load_model(folder)
        items = read_model_items(folder / ITEMS_FILE)
        item_ids = items["item_id"].to_list()
        fingerprint = catalog_fingerprint(item_ids)
        if fingerprint != model.config.catalog_fingerprint:
            raise SeqRecError(
                f"{folder / ITEMS_FILE}: not the catalog that the model was trained on"
            )
        tokenizer = load_tokenizer(folder)
        if tokenizer_fingerprint(tokenizer) != model.config.tokenizer_fingerprint:
            raise SeqRecError(f"{folder}: not the tokenizer that the model was trained with")
        name = folder.parent.name if folder.name == "model" else folder.name
        tokens = ItemTokens.of(tokenizer, item_ids)
        coder = model_coder(model.config, items, str(folder / ITEMS_FILE))
        events = EventTokens.of(tokenizer, tokens, coder) if coder else None
        return cls(name, model, tokens, items, fingerprint, events)

    def recommend(
        self,
        histories: Sequence[Sequence[Event]],
        k: int = 10,
        *,
        exclude_seen: bool = True,
        conditions: Mapping[str, Any] | None = None,
        plan: bool = False,
    ) -> list[list[tuple[str, float]]]:
        """For every history the ``k`` best items as ``(item_id, score)``, best first.

        A list is shorter where fewer than ``k`` unseen items exist.

        Args:
            histories: ids or events, oldest first.
            k: length of the lists.
            exclude_seen: leave out what stands in the history.
            conditions: what holds of the recommended items, such as ``{"rating": 5}``: values of
                features that the model's grammar places before its item.
            plan: let the model say first what kind of title comes next, and recommend given that.

        Raises:
            SeqRecError: events out of order, a condition that the model does not know, or
                no feature that it can plan with.
        """
        known = self._known(histories, conditions)
        if plan:
            known = self.add_plans(known)
        ranked = self.rank(known, k, exclude_seen=exclude_seen)
        lists = []
        for items, scores in zip(ranked.items.tolist(), ranked.scores.tolist(), strict=True):
            pairs = zip(items, scores, strict=True)
            lists.append([(self.item_ids[item], score) for item, score in pairs if item >= 0])
        if any(len(pairs) < k for pairs in lists):
            logger.warning("fewer than %d unseen items exist for some histories", k)
        return lists

    def known_items(
        self, histories: Sequence[Sequence[Event]]
    ) -> tuple[list[Int[np.ndarray, " T"]], list[str]]:
        """Histories of ids or events as items, and the ids that the catalog does not hold."""
        if isinstance(histories, str) or any(
            isinstance(history, str | Mapping) for history in histories
        ):
            raise SeqRecError("histories must be lists of item ids: [['318', '527'], ['1']]")
        unknown: list[str] = []
        known = []
        for history in histories:
            ids = [event if isinstance(event, str) else get_item_id(event) for event in history]
            items = [self._item_of.get(item_id, -1) for item_id in ids]
            unknown += [i for i, item in zip(ids, items, strict=True) if item < 0]
            known.append(np.array([item for item in items if item >= 0], dtype=np.int64))
        return known, unknown

    def known_events(
        self,
        histories: Sequence[Sequence[Event]],
        items: Sequence[Int[np.ndarray, " T"]],
        conditions: Mapping[str, Any] | None = None,
    ) -> tuple[Sequence[Int[np.ndarray, " T"]], list[str]]:
        """Histories of items with what their events tell, and what is not known of that.

        Args:
            histories: ids or events, oldest first.
            items: what ``known_items`` says of them.
            conditions: what holds of the recommended items.
        """
        events = self.events
        columns = [] if events is None else events.grammar.columns
        keys = dict.fromkeys(key for history in histories for key in get_keys(history))
        unknown = [key for key in keys if key not in columns]
        if events is None:
            if conditions:
                raise SeqRecError(
                    f"condition {', '.join(conditions)}: {self.name} reads titles alone; train it "
                    "with data.events"
                )
            return items, unknown
        told = [
            parse_events([e for e in history if get_item_id(e) in self._item_of], known, events)
            for history, known in zip(histories, items, strict=True)
        ]
        unknown += [what for one in told for what in one.unknown]
        asked = parse_conditions(events.grammar, conditions or {})
        return build_event_histories(items, told, asked), list(dict.fromkeys(unknown))

    def _known(
        self, histories: Sequence[Sequence[Event]], conditions: Mapping[str, Any] | None = None
    ) -> Sequence[Int[np.ndarray, " T"]]:
        """Histories as the model reads them; what is skipped is said once."""
        items, unknown = self.known_items(histories)
        if unknown:
            logger.warning(
                "%d item ids are not in the catalog and were skipped, %r first",
                len(unknown),
                unknown[0],
            )
        known, unknown = self.known_events(histories, items, conditions)
        if unknown:
            logger.warning("the model does not know %s, left open", ", ".join(unknown))
        return known

    def add_plans(self, histories: Sequence[Int[np.ndarray, " T"]]) -> EventHistories:
        """The same histories, asked for titles of the kind that the model says comes next.

        Raises:
            SeqRecError: no feature that it can plan with.
        """
        if self.events is None or not self.events.grammar.plan_indices:
            raise SeqRecError(
                f"plan: {self.name} has learned no feature that stands before its title; train "
                "it with one in data.events (place: before, is_learned: true)"
            )
        if not isinstance(histories, EventHistories):
            histories = self.events.without_features(histories)
        return with_plans(self.model, self.events, histories)

    def get_plans(self, histories: EventHistories) -> list[dict[str, str]]:
        """What ``add_plans`` said of every history: values of features, by their names."""
        assert self.events is not None
        grammar = self.events.grammar
        of_places = [(place, grammar.features[place]) for place in grammar.plan_indices]
        return [
            {one.name: one.values[asked[n] - 1] for n, one in of_places if asked[n] != UNKNOWN}
            for asked in histories.conditions
        ]

    def score_tiles(self, histories: Sequence[Int[np.ndarray, " T"]]) -> ScoreTile:
        """The model's scores; for an empty history the items' counts in the training data."""
        is_empty = torch.tensor([len(history) == 0 for history in histories])
        scores = super().score_tiles(histories)
        if not is_empty.any():
            return scores
        device = self.model.device
        is_empty = is_empty[:, None].to(device)
        counts = torch.from_numpy(self.items["num_interactions"].to_numpy().astype(np.float32))
        counts = counts.to(device)
        return lambda start, stop: torch.where(is_empty, counts[start:stop], scores(start, stop))

    def likelihood(
        self,
        histories: Sequence[Sequence[Event]],
        item_ids: Sequence[Sequence[str]],
        name: str,
        value: Any,
    ) -> list[list[float]]:
        """How likely a feature is of titles, were they watched next: ``rating`` of 5, say.

        Args:
            histories: ids or events, oldest first.
            item_ids: titles to be asked about, of every history.
            name: a learned feature that follows its title, or the column it is read from.
            value: what it may be.

        Raises:
            SeqRecError: a title, feature or value that the model does not know, or a feature
                that it did not learn.
        """
        titles, unknown = self.known_items(item_ids)
        if unknown:
            raise SeqRecError(f"likelihood: {unknown[0]!r} is not in the catalog")
        return self.compute_likelihood(self._known(histories), titles, name, value)

    def compute_likelihood(
        self,
        histories: Sequence[Int[np.ndarray, " T"]],
        items: Sequence[Int[np.ndarray, " K"]],
        name: str,
        value: Any,
    ) -> list[list[float]]:
        """``likelihood`` after histories of items, for items, whatever kind is asked for."""
        asked = f"likelihood {name}={value}"
        if self.events is None:
            raise SeqRecError(f"{asked}: {self.name} reads titles alone; train it with data.events")
        grammar = self.events.grammar
        place = grammar.find_feature(name, "after", asked)
        if not grammar.is_learned[place]:
            raise SeqRecError(f"{asked}: the model has not learned it (is_learned: true)")
        code = grammar.get_code(place, value, asked)
        if isinstance(histories, EventHistories):
            histories = self.events.without_conditions(histories)
        room = (self.model.config.max_length - 1) * self.block_size
        found = []
        for row, titles in enumerate(items):
            read = self.events.flatten(histories[row : row + 1], self.model.config.max_length)
            tokens, times = self.events.encode(read.items, read.codes).flatten(), None
            begin = max(len(tokens) - room, 0)
            if read.times is not None:
                times = self.events.token_times(read.times).reshape(-1, 2)[begin:]
            tokens = tokens[begin:]
            of_values = value_probabilities(self.model, self.events, tokens, titles, place, times)
            found.append(of_values[:, code - 1].tolist())
        return found

    def embed(self, histories: Sequence[Sequence[Event]]) -> Float[np.ndarray, "B D"]:
        """The vector of every history; its product with an item's vector is the item's score.

        But for what a memory adds to it: see ``scores_are_products``.
        """
        return self.embed_histories(self._known(histories))

    def embed_histories(
        self, histories: Sequence[Int[np.ndarray, " T"]]
    ) -> Float[np.ndarray, "B D"]:
        """``embed`` for histories of items."""
        starts = range(0, len(histories), self.batch_size)
        batches = [self.encode(histories[start : start + self.batch_size]) for start in starts]
        return torch.cat([torch.empty(0, self.width), *(b.cpu() for b in batches)]).numpy()

    @property
    def scores_are_products(self) -> bool:
        """Whether vectors say all of a score; a memory adds to it what no vector holds."""
        return self.model.transition_prior is None or not self.model.transition_prior.strength

    @property
    def fingerprint(self) -> str:
        """The sha256 of the item vectors: an index of them belongs to this model alone."""
        return hashlib.sha256(self.item_embeddings().tobytes()).hexdigest()

    def rank_by_index(
        self,
        index: ItemIndex,
        histories: Sequence[Int[np.ndarray, " T"]],
        k: int,
        *,
        exclude_seen: bool = True,
    ) -> TopK:
        """What ``rank`` answers, found through an index of this model's item vectors.

        Scores are products of vectors: what a memory adds to them has no say.
        """
        k = min(k, self.num_items)
        seen = histories if exclude_seen else None
        found = search(index, self.embed_histories(histories), k, seen=seen)
        empty = [row for row, history in enumerate(histories) if not len(history)]
        if empty:
            fallback = self.rank([histories[row] for row in empty], k)
            found.items[empty], found.scores[empty] = fallback
        return found

    def item_embeddings(self) -> Float[np.ndarray, "I D"]:
        """The vector of every item, in the order of ``item_ids``."""
        return self.model.item_weight().detach().cpu().numpy()
