"""Models behind names: the one that answers now, and the next one beside it."""

import asyncio
import hashlib
import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import numpy as np

from seqrec.data.ids import get_id_text
from seqrec.errors import SeqRecError
from seqrec.ranking.explained import Explainer
from seqrec.ranking.read_requests import answer_read
from seqrec.ranking.recommender import Recommender
from seqrec.ranking.request_batches import ListRequest, rank_requests
from seqrec.ranking.served import Served
from seqrec.ranking.text_requests import TextSearch
from seqrec.serving.title_search import TitleSearch

WARM_EVENTS = 32
"""Length of the histories of a batch that warms up."""
SEARCHED_AT_ONCE = 1_000_000
"""Largest catalog whose titles are indexed before a model answers; larger ones at first use."""


@dataclass(frozen=True)
class LoadedModel:
    """A model that answers requests; it never changes."""

    name: str
    served: Served
    fingerprint: str
    """The sha256 of the item vectors, as in exports, or of the catalog for a baseline."""
    version: str
    """A hash of everything that was loaded: equal versions answer equally."""
    retrieval: str = "flat"
    open_text: Callable[[Served], TextSearch] | None = None
    """Returns the search that answers requests in words; None: there is none."""
    loaded_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    @cached_property
    def identity(self) -> dict[str, str]:
        """The fields that every answer holds."""
        return {"name": self.name, "fingerprint": self.fingerprint, "version": self.version}

    @cached_property
    def title_search(self) -> TitleSearch:
        """The search of items by title."""
        items = self.served.table.items
        counts = np.zeros(len(items), dtype=np.int64)
        if "num_interactions" in items.columns:
            counts = items["num_interactions"].to_numpy()
        return TitleSearch(self.served.table.titles, counts)

    @cached_property
    def explainer(self) -> Explainer:
        """Explanations without counts of a log."""
        return Explainer(self.served)

    @cached_property
    def text_steps(self) -> "dict[str, asyncio.Task[Any]]":
        """Steps of opening its search by words that were begun, by name; they go with the model."""
        return {}

    @property
    def reader(self) -> Recommender | None:
        """The model if it reads requests in words itself, because it has a word head."""
        ranker = self.served.ranker
        return ranker if isinstance(ranker, Recommender) and ranker.reads_texts else None

    @property
    def max_length(self) -> int | None:
        """Items of a history that the model reads; None for a baseline."""
        ranker = self.served.ranker
        return ranker.model.config.max_length if isinstance(ranker, Recommender) else None

    def build_batch(self, size: int) -> list[ListRequest]:
        """Return requests with histories of other items each, from the start of the catalog."""
        ids = self.served.table.item_ids
        starts = [number * WARM_EVENTS % len(ids) for number in range(size)]
        return [ListRequest(ids[start : start + WARM_EVENTS]) for start in starts]

    def warm_up(self) -> None:
        """Answer one request, and build what is built once."""
        first = self.served.table.item_ids[:1]
        rank_requests(self.served, [ListRequest(first), ListRequest([])])
        if self.reader is not None:
            answer_read(self.reader, "a", ListRequest([], 1))
        if len(self.served.table) <= SEARCHED_AT_ONCE:
            self.title_search.find("a", 1)


class ModelSlot:
    """A name, and the model that answers under it."""

    def __init__(
        self,
        name: str,
        weight: float,
        load: Callable[[], LoadedModel],
        look: Callable[[], Hashable] = lambda: None,
    ) -> None:
        """Store how to load the model; ``reload`` loads it.

        Args:
            name: the name that requests use.
            weight: share of the users that are assigned to it.
            load: returns the model of now, from its folder.
            look: returns where its pointer points now; None if it has none.
        """
        self._look = look
        self._seen = look()
        self.name = name
        self.weight = weight
        self._load = load
        self._loading = threading.Lock()
        self._current: LoadedModel | None = None
        self.num_loads = 0

    @property
    def current(self) -> LoadedModel:
        """The model that answers."""
        assert self._current is not None, "not loaded yet"
        return self._current

    @property
    def is_loaded(self) -> bool:
        return self._current is not None

    def has_moved(self) -> bool:
        """Return True if the pointer has moved since the last look."""
        before, self._seen = self._seen, self._look()
        return before != self._seen

    def reload(self) -> LoadedModel:
        """Load the model beside the one that answers, then let it answer.

        Raises:
            SeqRecError: it cannot be loaded; the old one still answers.
        """
        with self._loading:
            model = self._load()
            model.warm_up()
            self._current = model
            self.num_loads += 1
        return model


class ModelPool:
    """The models of a server, and who answers whom."""

    def __init__(self, slots: Sequence[ModelSlot]) -> None:
        self.slots: Mapping[str, ModelSlot] = {slot.name: slot for slot in slots}
        total = sum(slot.weight for slot in slots)
        self._edges = np.cumsum([slot.weight / total for slot in slots])

    @property
    def first(self) -> ModelSlot:
        """The model of requests that name neither a model nor a user."""
        return next(iter(self.slots.values()))

    @property
    def is_loaded(self) -> bool:
        return all(slot.is_loaded for slot in self.slots.values())

    def get(self, name: str | None, user: str | None) -> ModelSlot:
        """Return the model that a request names, or to which its user is assigned.

        Raises:
            SeqRecError: no model has this name.
        """
        if name is not None:
            if name not in self.slots:
                raise SeqRecError(f"model {name}: not served; choose from {', '.join(self.slots)}")
            return self.slots[name]
        return self.first if user is None else self.assign(user)

    def assign(self, user: str) -> ModelSlot:
        """Return the model of a user, by a hash of the id: the same in every process."""
        digest = hashlib.sha256(b"seqrec-split:" + get_id_text(user).encode()).digest()
        share = int.from_bytes(digest[:8]) / 2**64
        number = int(np.searchsorted(self._edges, share, side="right"))
        return list(self.slots.values())[min(number, len(self.slots) - 1)]


def hash_user(user: str) -> str:
    """Return a short hash of a user id, for the log."""
    return hashlib.sha256(user.encode()).hexdigest()[:12]


def describe(model: LoadedModel, slot: ModelSlot, *, is_default: bool) -> dict[str, Any]:
    """Return what ``GET /models`` says about a model."""
    ranker = model.served.ranker
    return {
        **model.identity,
        "is_default": is_default,
        "weight": slot.weight,
        "num_items": len(model.served.table),
        "max_length": model.max_length,
        "features": list(model.served.columns),
        "columns": [c for c in model.served.table.items.columns if c != "item"],
        "retrieval": model.retrieval,
        "loaded_at": model.loaded_at,
        "kind": "model" if isinstance(ranker, Recommender) else "baseline",
    }


def elapsed_ms(since: float) -> float:
    """Return the milliseconds since a time of ``time.perf_counter``."""
    return round(1000 * (time.perf_counter() - since), 2)
