"""Events as arrays: items with feature codes, and the blocks of tokens made from both."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Int64
from transformers import PreTrainedTokenizerFast

from seqrec.errors import SeqRecError
from seqrec.tokens.events.coder import EventCoder
from seqrec.tokens.events.grammar import Grammar
from seqrec.tokens.events.histories import EventHistories
from seqrec.tokens.events.sessions import shorten_events
from seqrec.tokens.events.times import NO_TIME
from seqrec.tokens.events.values import UNKNOWN
from seqrec.tokens.item_blocks import event_block_size
from seqrec.tokens.tokenizer import ItemTokens, item_token

UNKNOWN_ITEM = -1


class FlatEvents(NamedTuple):
    """Events of several histories, concatenated."""

    items: Int[np.ndarray, " N"]
    codes: Int[np.ndarray, "N C"]
    """The features in the block of every event: those after its item, those before the next."""
    lengths: Int[np.ndarray, " H"]
    times: Int64[np.ndarray, "N 2"] | None = None
    """The time of each event, and the time to which its block counts gaps; for models with a time
    bias."""


class EventTokens:
    """Blocks of tokens from items and feature codes, equal to the tokenizer's for text."""

    def __init__(self, tokens: ItemTokens, coder: EventCoder, first_token: int) -> None:
        """Set up the token tables.

        Args:
            tokens: tokens of the items.
            coder: codes of the features.
            first_token: the unknown token of the first feature; all other words follow it.
        """
        self.tokens = tokens
        self.coder = coder
        self.grammar = coder.grammar
        self.first_tokens = first_token + self.grammar.first_code
        """The unknown token of every feature; code ``c`` has the ``c``-th token after it."""
        self.block_size = event_block_size(tokens.block_size, len(self.grammar.features))
        """Tokens of an event."""
        self._first_token = first_token
        self._is_before = self.grammar.is_before
        self._is_learned = self.grammar.is_learned
        self._dropout = np.array([one.dropout for one in self.grammar.features])

    @classmethod
    def of(
        cls, tokenizer: PreTrainedTokenizerFast, tokens: ItemTokens, coder: EventCoder
    ) -> "EventTokens":
        """Read the tokens from a tokenizer with all feature words in one block."""
        found = np.asarray(tokenizer.convert_tokens_to_ids(coder.grammar.words), dtype=np.int64)
        if not len(found):
            return cls(tokens, coder, 0)
        if not np.array_equal(found, found[0] + np.arange(len(found))):
            raise SeqRecError(
                "the tokenizer does not have this model's features in order; "
                "take both from the same model folder"
            )
        return cls(tokens, coder, int(found[0]))

    def with_coder(self, coder: EventCoder) -> "EventTokens":
        """Return the same tokens with a coder of the same grammar for other items."""
        return EventTokens(self.tokens, coder, self._first_token)

    def encode(
        self, items: Int[np.ndarray, " N"], codes: Int[np.ndarray, "N C"]
    ) -> Int[np.ndarray, "N E"]:
        """Return the tokens of events.

        Args:
            items: items of the events.
            codes: their ``block_codes``.
        """
        return np.concatenate([self.tokens.encode(items), self.first_tokens + codes], axis=1)

    def block_codes(
        self, codes: Int[np.ndarray, "N C"], next_codes: Int[np.ndarray, "N C"]
    ) -> Int[np.ndarray, "N C"]:
        """Return the codes in the blocks of events: their own, and those before the next items."""
        return np.where(self._is_before, next_codes, codes)

    def block_times(
        self, times: Int64[np.ndarray, " N"], next_times: Int64[np.ndarray, " N"]
    ) -> Int64[np.ndarray, "N 2"]:
        """Return the times of events, and the times to which their blocks count gaps.

        The second is the next event's time if the model reads the target's time.
        """
        until = next_times if self.grammar.times == "target_time" else times
        return np.stack([times, until], axis=1)

    def token_times(self, block_times: Int64[np.ndarray, "N 2"]) -> Int64[np.ndarray, "N E 2"]:
        """Return ``block_times`` of every token; only a block's last token reads the next time."""
        found = block_times[:, None].repeat(self.block_size, axis=1)
        found[:, :-1, 1] = found[:, :-1, 0]
        return found

    def drop_features(
        self, block_codes: Int[np.ndarray, "N C"], generator: np.random.Generator
    ) -> Int[np.ndarray, "N C"]:
        """Return the codes with features masked at random, by the grammar's dropout."""
        return np.where(generator.random(block_codes.shape) < self._dropout, UNKNOWN, block_codes)

    def feature_labels(
        self, block_codes: Int[np.ndarray, "N C"], ignore_index: int
    ) -> Int[np.ndarray, "N E"]:
        """Return the feature token to predict at each position of blocks, where one is learned.

        It stands one position ahead of the feature; the last position is the next item's.
        """
        is_label = self._is_learned & (block_codes != UNKNOWN)
        found = np.full((len(block_codes), self.block_size), ignore_index, dtype=np.int64)
        found[:, self.tokens.block_size - 1 : -1] = np.where(
            is_label, self.first_tokens + block_codes, ignore_index
        )
        return found

    def count_feature_labels(self, codes: Int[np.ndarray, "N C"]) -> int:
        """Return the number of feature labels in the blocks of events, without the last event."""
        block_codes = self.block_codes(codes[:-1], codes[1:])
        return int((self._is_learned & (block_codes != UNKNOWN)).sum())

    def flatten(self, histories: Sequence[Int[np.ndarray, " T"]], max_length: int) -> FlatEvents:
        """Concatenate the last events of every history; plain items have the features of items.

        An empty history becomes one unknown item. Unknown times are ``NO_TIME``.
        """
        if not isinstance(histories, EventHistories):
            histories = self.without_features(histories)
        histories = self.shorten(histories)
        items = [history[-max_length:] for history in histories.items]
        codes = [history[-max_length:] for history in histories.codes]
        is_empty = [not len(history) for history in items]
        nothing = np.full((1, len(self._is_before)), UNKNOWN, dtype=np.int32)
        unknown = np.array([UNKNOWN_ITEM])
        items = [unknown if e else history for e, history in zip(is_empty, items, strict=True)]
        codes = [nothing if e else history for e, history in zip(is_empty, codes, strict=True)]
        block_codes = [
            self.block_codes(history, np.concatenate([history[1:], conditions[None]]))
            for history, conditions in zip(codes, histories.conditions, strict=True)
        ]
        lengths = np.array([len(history) for history in items])
        times = self._flat_times(histories, lengths) if self.grammar.times is not None else None
        return FlatEvents(np.concatenate(items), np.concatenate(block_codes), lengths, times)

    def _flat_times(
        self, histories: EventHistories, lengths: Int[np.ndarray, " H"]
    ) -> Int64[np.ndarray, "N 2"]:
        """Return ``block_times`` of the last ``lengths`` events of every history."""
        if histories.times is None:
            return np.full((lengths.sum(), 2), NO_TIME, dtype=np.int64)
        unknown = np.full(1, NO_TIME, dtype=np.int64)
        found = []
        for number, (history, length) in enumerate(zip(histories.times, lengths, strict=True)):
            when = unknown
            if histories.target_times is not None:
                when = histories.target_times[number : number + 1]
            times = history[-length:] if len(history) else unknown
            found.append(self.block_times(times, np.append(times[1:], when)))
        return np.concatenate(found)

    def shorten(self, histories: EventHistories) -> EventHistories:
        """Merge sessions and drop events by the grammar's rules."""
        if not self.grammar.shortens_histories:
            return histories
        items, codes, firsts = [], [], []
        for history, history_codes in zip(histories.items, histories.codes, strict=True):
            left = shorten_events(self.grammar, history_codes, np.arange(len(history)) == 0)
            items.append(history[left.kept])
            codes.append(left.codes)
            firsts.append(left.first)
        times = histories.times
        if times is not None:
            times = [history[first] for history, first in zip(times, firsts, strict=True)]
        return replace(histories, items=items, codes=codes, times=times)

    def without_features(self, histories: Sequence[Int[np.ndarray, " T"]]) -> EventHistories:
        """Return histories of plain items: only the features of items are known."""
        codes = [self.coder.item_feature_codes(np.asarray(history)) for history in histories]
        return EventHistories(list(histories), codes, self.no_conditions(len(codes)))

    def without_conditions(self, histories: EventHistories) -> EventHistories:
        """Return the histories without conditions; the time of the target stays."""
        conditions = np.where(self.grammar.is_target_time, histories.conditions, UNKNOWN)
        return replace(histories, conditions=conditions)

    def no_conditions(self, num_histories: int) -> Int[np.ndarray, "H C"]:
        """Return unknown codes as the conditions of histories."""
        return np.full((num_histories, len(self._is_before)), UNKNOWN, dtype=np.int32)


def event_text(
    grammar: Grammar, item_ids: Sequence[str], block_codes: Int[np.ndarray, "N C"]
) -> str:
    """Return events as text for the tokenizer.

    Args:
        grammar: the features.
        item_ids: ids of the items.
        block_codes: codes in the block of each event.
    """
    words = [feature.words for feature in grammar.features]
    blocks = []
    for item_id, codes in zip(item_ids, block_codes.tolist(), strict=True):
        features = [names[code] for names, code in zip(words, codes, strict=True)]
        blocks.append(" ".join([item_token(item_id), *features]))
    return " ".join(blocks)
