"""A model in memory as a ranker: encodes histories and scores the catalog."""

import hashlib
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Int64
from torch import Tensor

from seqrec.models.given_items import score_given_items
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.ranking.ranker import Ranker, ScoreTile
from seqrec.ranking.request_states import encode_with_requests
from seqrec.retrieval.exact import TopK
from seqrec.tokens.events.event_tokens import EventTokens
from seqrec.tokens.events.histories import EventHistories
from seqrec.tokens.streams.packing import pack_inputs
from seqrec.tokens.streams.placement import (
    pack_blocks,
    pack_documents,
    pack_rows,
    pack_times,
    place_windows,
)
from seqrec.tokens.streams.windows import Windows
from seqrec.tokens.tokenizer import ItemTokens

ENCODED_POSITIONS = 2048
"""Positions that are encoded at once; on a CPU, these stay in its caches."""
ENCODED_REQUESTS = 256
"""Histories with a request each that are ranked at once."""


class ModelRanker(Ranker):
    """Ranks the next item by a model in memory."""

    def __init__(
        self,
        name: str,
        model: SeqRecForNextItem,
        tokens: ItemTokens,
        events: EventTokens | None = None,
    ) -> None:
        """Store the model.

        Args:
            name: name of its results.
            model: the model.
            tokens: tokens of its items.
            events: event tokens of its grammar; None if it reads items only.
        """
        self.name = name
        self.model = model
        self.tokens = tokens
        self.events = events
        self.num_items = model.config.num_items
        self.is_refit = bool(getattr(model.config, "refit", False))
        self.encoded_positions = ENCODED_POSITIONS
        self.request: Float[Tensor, "*B F"] | None = None
        """The vector of the request that follows every history, or of one for each; None: there is
        none."""
        self.guidance = 1.0
        """The weight of the request."""

    def with_request(self, vector: Float[np.ndarray, " F"], guidance: float = 1.0) -> Self:
        """Return a ranker of the same model whose histories are followed by a request.

        Args:
            vector: of the request's words, by the encoder of the model's query token; the zero
                vector of a text without words equals no request.
            guidance: weight ``w`` of the request ``q``: items are ranked by
                ``log p(i | h) + w * (log p(i | h, q) - log p(i | h))``.
        """
        asking = copy(self)
        asking.guidance = guidance
        asking.request = torch.from_numpy(vector).to(self.model.device) if vector.any() else None
        return asking

    @property
    def width(self) -> int:
        """Width of the vectors of histories and items whose products are scores."""
        token = self.model.query_token
        return self.model.config.state_width + (0 if token is None else token.width_beside)

    def without_cold_items(self) -> Self:
        """Return a ranker of the same model that ranks only the items that occur in training."""
        learned = copy(self)
        learned.num_items = self.model.num_learned
        return learned

    def embed_histories(
        self, histories: Sequence[Int[np.ndarray, " T"]]
    ) -> Float[np.ndarray, "B D"]:
        """Return the vectors of histories of items.

        Their products with ``item_embeddings()`` are scores.
        """
        size = self.batch_size
        batches = [self.encode(histories[i : i + size]) for i in range(0, len(histories), size)]
        whole = [self.widen(states.cpu()) for states in batches]
        return torch.cat([torch.empty(0, self.width), *whole]).numpy()

    def widen(self, states: Float[Tensor, "B D"]) -> Float[Tensor, "B E"]:
        """Return states whose products with ``item_embeddings()`` are scores.

        States that no request follows are zero where an item's vector has what requests read.
        """
        return F.pad(states, (0, self.width - states.shape[1]))

    @property
    def scores_are_products(self) -> bool:
        """True if a score is a product of vectors: no transition prior adds to it."""
        return self.model.transition_prior is None or not self.model.transition_prior.strength

    @property
    def fingerprint(self) -> str:
        """The sha256 of the item vectors, which ties an index to this model."""
        return hashlib.sha256(np.ascontiguousarray(self.item_embeddings()).data).hexdigest()

    def item_vectors(self) -> Float[np.ndarray, "I D"]:
        return self._get_item_weight().detach().cpu().numpy()

    def item_embeddings(self) -> Float[np.ndarray, "I E"]:
        """Return the vector of every item, with its content for requests in words beside it."""
        if self.model.query_token is None:
            return self.item_vectors()
        return self._get_request_weight().detach().cpu().numpy()

    @torch.inference_mode()
    def encode(self, histories: Sequence[Int[np.ndarray, " T"]]) -> Float[Tensor, "B D"]:
        """Return the hidden state after each history; its products with item vectors are scores.

        Long histories are cut to the model's maximum length. An empty history is read as a single
        unknown item, or as the request alone.

        Histories whose conditions have a weight ``w`` are read with and without them, and the state
        is ``without + w * (with - without)``. Logits are linear in the state: they rank by
        ``log p(i | h) + w * (log p(i | h, conditions) - log p(i | h))``.

        Source: Ho and Salimans 2022, arXiv:2207.12598, for guidance without a classifier.
        """
        if not isinstance(histories, EventHistories) or histories.guidance is None:
            return self._encode(histories)
        assert self.events is not None
        asked = replace(histories, guidance=None)
        plain = self._encode(self.events.without_conditions(asked))
        weight = torch.from_numpy(histories.guidance).to(plain)[:, None]
        return plain + weight * (self._encode(asked) - plain)

    def _encode(self, histories: Sequence[Int[np.ndarray, " T"]]) -> Float[Tensor, "B D"]:
        """Return the hidden state after each history, read as it is."""
        max_length = self.model.config.max_length
        if self.request is not None:
            vectors = self.request.expand(len(histories), -1)
            return encode_with_requests(
                self.model, self.tokens, histories, vectors, self.encoded_positions, self.guidance
            )
        if self.events is None:
            unknown = np.array([-1])
            recent = [history[-max_length:] for history in histories]
            recent = [history if len(history) else unknown for history in recent]
            lengths = np.array([len(history) for history in recent])
            flat, times = np.concatenate(recent), None
        else:
            blocks = self.events.flatten(histories, max_length)
            flat, lengths = self.events.encode(blocks.items, blocks.codes), blocks.lengths
            times = None if blocks.times is None else self.events.token_times(blocks.times)
        windows = Windows(np.cumsum(lengths) - lengths, lengths, np.zeros_like(lengths))
        row_length = int(lengths.max())
        rows = pack_rows(lengths, row_length)
        num_rows = max(self.encoded_positions // (row_length * self.block_size), 1)
        states = [
            self._encode_rows(flat, times, windows, rows[start : start + num_rows], row_length)
            for start in range(0, len(rows), num_rows)
        ]
        order = torch.from_numpy(np.argsort([history for row in rows for history in row]))
        return torch.cat(states)[order.to(self.model.device)]

    def rank_with_requests(
        self,
        histories: Sequence[Int[np.ndarray, " T"]],
        vectors: Float[np.ndarray, "Q F"],
        k: int,
    ) -> TopK:
        """Return the ``k`` best unseen items after each history and its own request."""
        size = min(self.batch_size, ENCODED_REQUESTS)
        found = []
        for start in range(0, len(histories), size):
            batch, asking = histories[start : start + size], copy(self)
            asking.request = torch.from_numpy(vectors[start : start + size]).to(self.model.device)
            found.append(asking.rank(batch, k))
        return TopK(*(torch.cat(parts) for parts in zip(*found, strict=True)))

    @property
    def block_size(self) -> int:
        """Number of tokens of an item, or of an event."""
        return (self.tokens if self.events is None else self.events).block_size

    def _encode_rows(
        self,
        flat: Int[np.ndarray, " N"] | Int[np.ndarray, "N E"],
        times: Int64[np.ndarray, "N E 2"] | None,
        windows: Windows,
        rows: Sequence[Sequence[int]],
        row_length: int,
    ) -> Float[Tensor, "B D"]:
        """Return the states after the windows of some rows.

        Args:
            flat: items, or token blocks of events, of all histories.
            times: times of the tokens, for models with a time bias.
            windows: the histories in ``flat``.
            rows: numbers of the histories that share each row.
            row_length: items or events of a row.
        """
        placement, shape = place_windows(windows, rows, row_length), (len(rows), row_length)
        if self.events is None:
            packed = list(pack_inputs(flat, placement, self.tokens, shape))
        else:
            blocks, pad = flat[placement.source], self.tokens.pad_token_id
            packed = [
                pack_blocks(blocks, placement.slot, shape, pad),
                pack_documents(placement, shape, self.block_size),
            ]
        if times is not None:
            packed.append(pack_times(times[placement.source], placement.slot, shape))
        return self.model.document_states(
            *(torch.from_numpy(part).to(self.model.device) for part in packed)
        )

    @torch.inference_mode()
    def score_tiles(self, histories: Sequence[Int[np.ndarray, " T"]]) -> ScoreTile:
        """Return the model's scores after each history."""
        hidden, recent = self.encode(histories), self._recent_items(histories)
        num_items = self.model.config.num_items
        weight = self._get_scored_weight()
        scores = self.model.catalog_scores(hidden, recent, num_items=num_items, item_weight=weight)
        return torch.inference_mode()(lambda start, stop: scores.logits(slice(start, stop)))

    @torch.inference_mode()
    def score_items(
        self, histories: Sequence[Int[np.ndarray, " T"]], items: Int[Tensor, "B C"]
    ) -> Float[Tensor, "B C"]:
        hidden, recent = self.encode(histories), self._recent_items(histories)
        weight = self._get_scored_weight()
        return score_given_items(self.model, hidden, recent, items.to(hidden.device), weight)

    def _get_item_weight(self) -> Float[Tensor, "I D"]:
        """Return the vector of every item."""
        return self.model.item_weight()

    def _get_request_weight(self) -> Float[Tensor, "I E"]:
        """Return the vector of every item for states of requests."""
        return self.model.request_item_weight()

    def _get_scored_weight(self) -> Float[Tensor, "I E"]:
        """Return the vectors whose products with states of ``encode`` are scores."""
        return self._get_item_weight() if self.request is None else self._get_request_weight()

    def _recent_items(
        self, histories: Sequence[Int[np.ndarray, " T"]]
    ) -> Int[Tensor, "B S"] | None:
        """Return the last items of every history, which condition the transition prior."""
        if self.events is not None and isinstance(histories, EventHistories):
            histories = self.events.shorten(histories)
        return self.model.recent_items_after(histories)
