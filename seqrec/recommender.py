"""Recommending: whatever scores the catalog after a history is a ``Ranker``.

The ``Recommender`` is the ranker that a model folder holds; baselines are others. Validation,
evaluation, export and serving all go through here.
"""

import hashlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqrec.data.catalog import catalog_fingerprint, read_model_items
from seqrec.errors import SeqRecError
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.models.saving import load_model
from seqrec.retrieval.exact import TILE_ITEMS, SeenItems, TopK, top_k
from seqrec.retrieval.index import ItemIndex, search
from seqrec.tokens.packing import pack_inputs, pack_rows, place_windows
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

    def __init__(self, name: str, model: SeqRecForNextItem, tokens: ItemTokens) -> None:
        self.name = name
        self.model = model
        self.tokens = tokens
        self.num_items = model.config.num_items
        self.encoded_positions = ENCODED_POSITIONS
        self.width: int = model.backbone.config.hidden_size

    @torch.inference_mode()
    def encode(self, histories: Sequence[Int[np.ndarray, " T"]]) -> Float[Tensor, "B D"]:
        """The hidden state after each history, by which items are scored.

        Of a long history the last items are read, as many as the model was trained with. An
        empty one is read as a single unknown title.
        """
        unknown = np.array([-1])
        read = [history[-self.model.config.max_length :] for history in histories]
        read = [history if len(history) else unknown for history in read]
        lengths = np.array([len(history) for history in read])
        windows = Windows(np.cumsum(lengths) - lengths, lengths, np.zeros_like(lengths))
        items, row_length = np.concatenate(read), int(lengths.max())
        rows = pack_rows(lengths, row_length)
        num_rows = max(self.encoded_positions // row_length, 1)
        states = [
            self._encode_rows(items, windows, rows[start : start + num_rows], row_length)
            for start in range(0, len(rows), num_rows)
        ]
        place = torch.from_numpy(np.argsort([history for row in rows for history in row]))
        return torch.cat(states)[place.to(self.model.device)]

    def _encode_rows(
        self,
        items: Int[np.ndarray, " N"],
        windows: Windows,
        rows: Sequence[Sequence[int]],
        row_length: int,
    ) -> Float[Tensor, "B D"]:
        placement = place_windows(windows, rows, row_length)
        packed = pack_inputs(items, placement, self.tokens, (len(rows), row_length))
        input_ids, documents = (torch.from_numpy(part).to(self.model.device) for part in packed)
        return self.model.document_states(input_ids, documents)

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
    if not found.is_dir():
        named = f"{path}" if key is None else f"{key}={path}"
        raise SeqRecError(f"{named}: no such model folder; name a run or its model/ folder")
    return found


class Recommender(ModelRanker):
    """A model folder, ready to answer.

    It speaks item ids as the log spells them. Ids that the catalog does not hold are skipped and
    counted in a log message; a history of which nothing is left is answered with the titles
    most watched in training.
    """

    def __init__(
        self, name: str, model: SeqRecForNextItem, tokens: ItemTokens, items, fingerprint: str
    ) -> None:
        super().__init__(name, model, tokens)
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
        return cls(name, model, ItemTokens.of(tokenizer, item_ids), items, fingerprint)

    def recommend(
        self, histories: Sequence[Sequence[str]], k: int = 10, *, exclude_seen: bool = True
    ) -> list[list[tuple[str, float]]]:
        """For every history the ``k`` best items as ``(item_id, score)``, best first.

        A list is shorter where fewer than ``k`` unseen items exist.
        """
        ranked = self.rank(self._known(histories), k, exclude_seen=exclude_seen)
        lists = []
        for items, scores in zip(ranked.items.tolist(), ranked.scores.tolist(), strict=True):
            pairs = zip(items, scores, strict=True)
            lists.append([(self.item_ids[item], score) for item, score in pairs if item >= 0])
        if any(len(pairs) < k for pairs in lists):
            logger.warning("fewer than %d unseen items exist for some histories", k)
        return lists

    def known_items(
        self, histories: Sequence[Sequence[str]]
    ) -> tuple[list[Int[np.ndarray, " T"]], list[str]]:
        """Histories of item ids as items, and the ids that the catalog does not hold."""
        if isinstance(histories, str) or any(isinstance(history, str) for history in histories):
            raise SeqRecError("histories must be lists of item ids: [['318', '527'], ['1']]")
        unknown: list[str] = []
        known = []
        for history in histories:
            items = [self._item_of.get(str(item_id), -1) for item_id in history]
            unknown += [str(i) for i, item in zip(history, items, strict=True) if item < 0]
            known.append(np.array([item for item in items if item >= 0], dtype=np.int64))
        return known, unknown

    def _known(self, histories: Sequence[Sequence[str]]) -> list[Int[np.ndarray, " T"]]:
        """Histories of item ids as items; what is skipped is said once."""
        known, unknown = self.known_items(histories)
        if unknown:
            logger.warning(
                "%d item ids are not in the catalog and were skipped, %r first",
                len(unknown),
                unknown[0],
            )
        return known

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

    def embed(self, histories: Sequence[Sequence[str]]) -> Float[np.ndarray, "B D"]:
        """The vector of every history; its product with an item's vector is the item's score."""
        return self.vectors_of(self._known(histories))

    def vectors_of(self, histories: Sequence[Int[np.ndarray, " T"]]) -> Float[np.ndarray, "B D"]:
        """``embed`` for histories of items."""
        starts = range(0, len(histories), self.batch_size)
        batches = [self.encode(histories[start : start + self.batch_size]) for start in starts]
        return torch.cat([torch.empty(0, self.width), *(b.cpu() for b in batches)]).numpy()

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
        """What ``rank`` answers, found through an index of this model's item vectors."""
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
