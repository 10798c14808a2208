"""Recommending: whatever scores the catalog after a history is a ``Ranker``.

The ``Recommender`` is the ranker that a model folder holds; baselines are others. Validation,
evaluation, export and serving all go through here.
"""

import hashlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from seqrec.data.catalog import catalog_fingerprint, read_model_items
from seqrec.errors import SeqRecError
from seqrec.models.behaviours import value_probabilities, with_plans
from seqrec.models.configuration import SeqRecConfig
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.models.saving import load_model
from seqrec.retrieval.exact import TILE_ITEMS, SeenItems, TopK, top_k
from seqrec.retrieval.index import ItemIndex, search
from seqrec.tokens.events import EventCoder, EventHistories, EventTokens
from seqrec.tokens.grammar import OPEN, Grammar
from seqrec.tokens.packing import (
    pack_blocks,
    pack_documents,
    pack_inputs,
    pack_rows,
    pack_times,
    place_windows,
)
from seqrec.tokens.requests import Event, asked_of, id_of, keys_of, told_of, with_told
from seqrec.tokens.tokenizer import ItemTokens, load_tokenizer, tokenizer_fingerprint
from seqrec.tokens.windows import Windows

logger = logging.getLogger(__name__)

ITEMS_FILE = "items.parquet"

ENCODED_POSITIONS = 2048
"""Positions that a model reads at once: on a CPU, as many as stay in its caches."""

MIN_TILE_ITEMS = 1024
SCORE_BYTES = 4

ScoreTile = Callable[[int, int], Float[Tensor, "B tile"]]


class Ranker(ABC):
    """Whatever can score the items of a catalog after a history."""

    name: str
    num_items: int
    tile_items = TILE_ITEMS
    """Items scored at once."""
    batch_size = 512
    """Histories scored at once."""
    notes: Sequence[str] = ()
    """What a reader of its results should know."""

    def limit_memory(self, memory_mb: float | None) -> None:
        """Score so little at once that two arrays of scores fit into ``memory_mb`` MiB, if given.

        Tiles shrink first, then batches, down to one history and a small tile; lists stay the
        same.
        """
        if memory_mb is None:
            return
        if not 0 < memory_mb < float("inf"):
            raise SeqRecError(f"--memory-mb {memory_mb:g}: a number of MiB, more than 0")
        num_scores = int(memory_mb * 2**20 / (2 * SCORE_BYTES))
        self.tile_items = min(max(num_scores // self.batch_size, MIN_TILE_ITEMS), TILE_ITEMS)
        self.batch_size = min(max(num_scores // self.tile_items, 1), self.batch_size)

    @abstractmethod
    def score_tiles(self, histories: Sequence[Int[np.ndarray, " T"]]) -> ScoreTile:
        """A function from a range of items, ``start`` to ``stop``, to their scores."""

    def rank(
        self, histories: Sequence[Int[np.ndarray, " T"]], k: int, *, exclude_seen: bool = True
    ) -> TopK:
        """The ``k`` best items after each history, over the full catalog, exactly.

        Args:
            histories: items, oldest first; each may be empty.
            k: length of the lists.
            exclude_seen: leave out what stands in the history.

        Returns:
            On the CPU, best first; lists end with item -1 where a history leaves fewer items,
            and with the catalog.
        """
        k = min(k, self.num_items)
        batches = []
        for start in range(0, len(histories), self.batch_size):
            batch = histories[start : start + self.batch_size]
            seen = SeenItems.from_lists(batch) if exclude_seen else None
            tile_items = min(self.tile_items, self.num_items)
            batches.append(
                top_k(
                    self.score_tiles(batch),
                    len(batch),
                    self.num_items,
                    k,
                    seen=seen,
                    tile_items=tile_items,
                )
            )
        if not batches:
            return TopK(torch.empty(0, k, dtype=torch.long), torch.empty(0, k))
        return TopK(
            torch.cat([batch.items.cpu() for batch in batches]),
            torch.cat([batch.scores.cpu() for batch in batches]),
        )


class ModelRanker(Ranker):
    """A model in memory, asked for the next item."""

    def __init__(
        self,
        name: str,
        model: SeqRecForNextItem,
        tokens: ItemTokens,
        events: EventTokens | None = None,
    ) -> None:
        """Hold the model.

        Args:
            name: what its results are called by.
            model: what is asked.
            tokens: of its items.
            events: of its grammar; None if it reads titles alone.
        """
        self.name = name
        self.model = model
        self.tokens = tokens
        self.events = events
        self.num_items = model.config.num_items
        self.encoded_positions = ENCODED_POSITIONS
        self.width: int = model.backbone.config.hidden_size

    @torch.inference_mode()
    def encode(self, histories: Sequence[Int[np.ndarray, " T"]]) -> Float[Tensor, "B D"]:
        """The hidden state after each history, by which items are scored.

        Of a long history the last items are read, as many as the model was trained with. An
        empty one is read as a single unknown title.
        """
        max_length = self.model.config.max_length
        if self.events is None:
            unknown = np.array([-1])
            read = [history[-max_length:] for history in histories]
            read = [history if len(history) else unknown for history in read]
            lengths = np.array([len(history) for history in read])
            flat, times = np.concatenate(read), None
        else:
            told = self.events.flat(histories, max_length)
            flat, lengths = self.events.blocks(told.items, told.told), told.lengths
            times = None if told.times is None else self.events.block_times(told.times)
        windows = Windows(np.cumsum(lengths) - lengths, lengths, np.zeros_like(lengths))
        row_length = int(lengths.max())
        rows = pack_rows(lengths, row_length)
        num_rows = max(self.encoded_positions // (row_length * self.block_size), 1)
        states = [
            self._encode_rows(flat, times, windows, rows[start : start + num_rows], row_length)
            for start in range(0, len(rows), num_rows)
        ]
        place = torch.from_numpy(np.argsort([history for row in rows for history in row]))
        return torch.cat(states)[place.to(self.model.device)]

    @property
    def block_size(self) -> int:
        """Tokens of an event."""
        return 1 if self.events is None else self.events.block_size

    def _encode_rows(
        self,
        flat: Int[np.ndarray, " N"] | Int[np.ndarray, "N E"],
        times: Int64[np.ndarray, "N E 2"] | None,
        windows: Windows,
        rows: Sequence[Sequence[int]],
        row_length: int,
    ) -> Float[Tensor, "B D"]:
        """The states after the windows of some rows, of items or of blocks of tokens and times."""
        placement, shape = place_windows(windows, rows, row_length), (len(rows), row_length)
        if self.events is None:
            packed = list(pack_inputs(flat, placement, self.tokens, shape))
        else:
            blocks, pad = flat[placement.source], self.tokens.pad_token_id
            packed = [
                pack_blocks(blocks, placement.place, shape, pad),
                pack_documents(placement, shape, self.block_size),
            ]
        if times is not None:
            packed.append(pack_times(times[placement.source], placement.place, shape))
        return self.model.document_states(
            *(torch.from_numpy(part).to(self.model.device) for part in packed)
        )

    @torch.inference_mode()
    def score_tiles(self, histories: Sequence[Int[np.ndarray, " T"]]) -> ScoreTile:
        """The model's scores after each history."""
        score = self.model.scorer(self.encode(histories), self._last_items(histories))
        return torch.inference_mode()(score)

    def _last_items(self, histories: Sequence[Int[np.ndarray, " T"]]) -> Int[Tensor, "B S"] | None:
        """What the model's memory is asked with, if it has one."""
        if self.model.memory is None:
            return None
        num_steps = self.model.memory.max_steps
        if self.events is not None and isinstance(histories, EventHistories):
            histories = self.events.condensed(histories)
        asked = torch.full((len(histories), num_steps), -1)
        for row, history in enumerate(histories):
            last = history[-num_steps:][::-1]
            asked[row, : len(last)] = torch.from_numpy(last.astype(np.int64))
        return asked.to(self.model.device)


def model_folder(path: str | Path, key: str | None = None) -> Path:
    """The model folder that is meant: itself, or that of a run folder.

    Args:
        path: either.
        key: the setting that names it, for the error.

    Raises:
        SeqRecError: there is none.
    """
    found = Path(path).resolve()
    if not (found / "config.json").exists() and (found / "model").is_dir():
        found = found / "model"
    named = f"{path}" if key is None else f"{key}={path}"
    if not found.is_dir():
        raise SeqRecError(f"{named}: no such model folder; name a run or its model/ folder")
    if any(found.glob("seed-*/model")):
        raise SeqRecError(f"{named}: holds runs of several seeds; name one of them")
    return found


def model_coder(config: SeqRecConfig, items: Any, key: str) -> EventCoder | None:
    """The coder of a model's grammar and times; None if it reads titles alone.

    Args:
        config: of the model.
        items: its items, a row each, in catalog order.
        key: who asks, for the error.

    Raises:
        SeqRecError: a column that the items lack.
    """
    if config.events is None and config.time_bias is None:
        return None
    grammar = Grammar(()) if config.events is None else Grammar.of(config.events)
    return EventCoder.of(replace(grammar, times=config.time_bias), items, key)


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
        given: Mapping[str, Any] | None = None,
        plan: bool = False,
    ) -> list[list[tuple[str, float]]]:
        """For every history the ``k`` best items as ``(item_id, score)``, best first.

        A list is shorter where fewer than ``k`` unseen items exist.

        Args:
            histories: ids or events, oldest first.
            k: length of the lists.
            exclude_seen: leave out what stands in the history.
            given: ask for titles of which something is true, such as ``{"rating": 5}``: a
                behaviour that the model's grammar places before its title.
            plan: let the model say first what kind of title comes next, and recommend given that.

        Raises:
            SeqRecError: events out of order, something given that the model does not know, or
                no behaviour that it can plan with.
        """
        known = self._known(histories, given)
        if plan:
            known = self.planned(known)
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
            ids = [event if isinstance(event, str) else id_of(event) for event in history]
            items = [self._item_of.get(item_id, -1) for item_id in ids]
            unknown += [i for i, item in zip(ids, items, strict=True) if item < 0]
            known.append(np.array([item for item in items if item >= 0], dtype=np.int64))
        return known, unknown

    def known_events(
        self,
        histories: Sequence[Sequence[Event]],
        items: Sequence[Int[np.ndarray, " T"]],
        given: Mapping[str, Any] | None = None,
    ) -> tuple[Sequence[Int[np.ndarray, " T"]], list[str]]:
        """Histories of items with what their events tell, and what is not known of that.

        Args:
            histories: ids or events, oldest first.
            items: what ``known_items`` says of them.
            given: what is to be true of the titles that are asked for.
        """
        events = self.events
        columns = [] if events is None else events.grammar.columns
        keys = dict.fromkeys(key for history in histories for key in keys_of(history))
        unknown = [key for key in keys if key not in columns]
        if events is None:
            if given:
                raise SeqRecError(
                    f"given {', '.join(given)}: {self.name} reads titles alone; train it with "
                    "data.events"
                )
            return items, unknown
        told = [
            told_of([e for e in history if id_of(e) in self._item_of], known, events)
            for history, known in zip(histories, items, strict=True)
        ]
        unknown += [what for one in told for what in one.unknown]
        asked = asked_of(events.grammar, given or {})
        return with_told(items, told, asked), list(dict.fromkeys(unknown))

    def _known(
        self, histories: Sequence[Sequence[Event]], given: Mapping[str, Any] | None = None
    ) -> Sequence[Int[np.ndarray, " T"]]:
        """Histories as the model reads them; what is skipped is said once."""
        items, unknown = self.known_items(histories)
        if unknown:
            logger.warning(
                "%d item ids are not in the catalog and were skipped, %r first",
                len(unknown),
                unknown[0],
            )
        known, unknown = self.known_events(histories, items, given)
        if unknown:
            logger.warning("the model does not know %s, left open", ", ".join(unknown))
        return known

    def planned(self, histories: Sequence[Int[np.ndarray, " T"]]) -> EventHistories:
        """The same histories, asked for titles of the kind that the model says comes next.

        Raises:
            SeqRecError: no behaviour that it can plan with.
        """
        if self.events is None or not self.events.grammar.plan_places:
            raise SeqRecError(
                f"plan: {self.name} has learned no behaviour that stands before its title; train "
                "it with one in data.events (place: before, is_learned: true)"
            )
        if not isinstance(histories, EventHistories):
            histories = self.events.plain(histories)
        return with_plans(self.model, self.events, histories)

    def plans_of(self, histories: EventHistories) -> list[dict[str, str]]:
        """What ``planned`` said of every history: values of behaviours, by their names."""
        assert self.events is not None
        grammar = self.events.grammar
        of_places = [(place, grammar.behaviours[place]) for place in grammar.plan_places]
        return [
            {one.name: one.values[asked[n] - 1] for n, one in of_places if asked[n] != OPEN}
            for asked in histories.asked
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
        """How likely a behaviour is of titles, were they watched next: ``rating`` of 5, say.

        Args:
            histories: ids or events, oldest first.
            item_ids: titles to be asked about, of every history.
            name: a learned behaviour that follows its title, or the column it is read from.
            value: what it may be.

        Raises:
            SeqRecError: a title, behaviour or value that the model does not know, or a behaviour
                that it did not learn.
        """
        titles, unknown = self.known_items(item_ids)
        if unknown:
            raise SeqRecError(f"likelihood: {unknown[0]!r} is not in the catalog")
        return self.likelihood_of(self._known(histories), titles, name, value)

    def likelihood_of(
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
        place = grammar.find(name, "after", asked)
        if not grammar.is_learned[place]:
            raise SeqRecError(f"{asked}: the model has not learned it (is_learned: true)")
        code = grammar.code(place, value, asked)
        if isinstance(histories, EventHistories):
            histories = self.events.unasked(histories)
        room = (self.model.config.max_length - 1) * self.block_size
        found = []
        for row, titles in enumerate(items):
            read = self.events.flat(histories[row : row + 1], self.model.config.max_length)
            tokens, times = self.events.blocks(read.items, read.told).flatten(), None
            begin = max(len(tokens) - room, 0)
            if read.times is not None:
                times = self.events.block_times(read.times).reshape(-1, 2)[begin:]
            tokens = tokens[begin:]
            of_values = value_probabilities(self.model, self.events, tokens, titles, place, times)
            found.append(of_values[:, code - 1].tolist())
        return found

    def embed(self, histories: Sequence[Sequence[Event]]) -> Float[np.ndarray, "B D"]:
        """The vector of every history; its product with an item's vector is the item's score.

        But for what a memory adds to it: see ``scores_are_products``.
        """
        return self.vectors_of(self._known(histories))

    def vectors_of(self, histories: Sequence[Int[np.ndarray, " T"]]) -> Float[np.ndarray, "B D"]:
        """``embed`` for histories of items."""
        starts = range(0, len(histories), self.batch_size)
        batches = [self.encode(histories[start : start + self.batch_size]) for start in starts]
        return torch.cat([torch.empty(0, self.width), *(b.cpu() for b in batches)]).numpy()

    @property
    def scores_are_products(self) -> bool:
        """Whether vectors say all of a score; a memory adds to it what no vector holds."""
        return self.model.memory is None or not self.model.memory.strength

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
        found = search(index, self.vectors_of(histories), k, seen=seen)
        empty = [row for row, history in enumerate(histories) if not len(history)]
        if empty:
            fallback = self.rank([histories[row] for row in empty], k)
            found.items[empty], found.scores[empty] = fallback
        return found

    def item_embeddings(self) -> Float[np.ndarray, "I D"]:
        """The vector of every item, in the order of ``item_ids``."""
        return self.model.item_weight().detach().cpu().numpy()
