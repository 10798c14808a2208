"""Events as arrays: codes of features beside items, and blocks of tokens made of both."""

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
    """Events of several histories, end to end."""

    items: Int[np.ndarray, " N"]
    codes: Int[np.ndarray, "N C"]
    """The features in the block of every event: those after its item, those before the next."""
    lengths: Int[np.ndarray, " H"]
    times: Int64[np.ndarray, "N 2"] | None = None
    """Of each event when it was, and to when its block counts gaps, for models with a time
    bias."""


class EventTokens:
    """From items and codes to blocks of tokens, as the tokenizer makes them of text."""

    def __init__(self, tokens: ItemTokens, coder: EventCoder, first_token: int) -> None:
        """Hold where tokens stand.

        Args:
            tokens: of the items.
            coder: of the features.
            first_token: the token of the first feature's open word; the others follow.
        """
        self.tokens = tokens
        self.coder = coder
        self.grammar = coder.grammar
        self.first_tokens = first_token + self.grammar.first_code
        """The token of every feature's open word."""
        self.block_size = event_block_size(tokens.block_size, len(self.grammar.features))
        """Tokens of an event."""
        self._is_before = self.grammar.is_before
        self._is_learned = self.grammar.is_learned
        self._dropout = np.array([one.dropout for one in self.grammar.features])

    @classmethod
    def of(
        cls, tokenizer: PreTrainedTokenizerFast, tokens: ItemTokens, coder: EventCoder
    ) -> "EventTokens":
        """Read from the tokenizer, which must hold the features' words in one block."""
        found = np.asarray(tokenizer.convert_tokens_to_ids(coder.grammar.words), dtype=np.int64)
        if not len(found):
            return cls(tokens, coder, 0)
        if not np.array_equal(found, found[0] + np.arange(len(found))):
            raise SeqRecError(
                "the tokenizer does not hold this model's features in order; "
                "both must come from the same model folder"
            )
        return cls(tokens, coder, int(found[0]))

    def encode(
        self, items: Int[np.ndarray, " N"], told: Int[np.ndarray, "N C"]
    ) -> Int[np.ndarray, "N E"]:
        """The tokens of events.

        Args:
            items: titles.
            told: codes of what follows each, and of what stands before the next one.
        """
        return np.concatenate([self.tokens.encode(items), self.first_tokens + told], axis=1)

    def block_codes(
        self, codes: Int[np.ndarray, "N C"], next_codes: Int[np.ndarray, "N C"]
    ) -> Int[np.ndarray, "N C"]:
        """What is told in the blocks of events: of themselves, and before the next ones."""
        return np.where(self._is_before, next_codes, codes)

    def block_times(
        self, times: Int64[np.ndarray, " N"], next_times: Int64[np.ndarray, " N"]
    ) -> Int64[np.ndarray, "N 2"]:
        """When events were, and to when their blocks count gaps: the next one's if it is told."""
        asked = next_times if self.grammar.times == "target_time" else times
        return np.stack([times, asked], axis=1)

    def token_times(self, block_times: Int64[np.ndarray, "N 2"]) -> Int64[np.ndarray, "N E 2"]:
        """``block_times`` of every token; all but a block's last count gaps to their own event."""
        found = block_times[:, None].repeat(self.block_size, axis=1)
        found[:, :-1, 1] = found[:, :-1, 0]
        return found

    def drop_features(
        self, told: Int[np.ndarray, "N C"], generator: np.random.Generator
    ) -> Int[np.ndarray, "N C"]:
        """Some of it left open, as often as the grammar says."""
        return np.where(generator.random(told.shape) < self._dropout, UNKNOWN, told)

    def feature_labels(
        self, told: Int[np.ndarray, "N C"], ignore_index: int
    ) -> Int[np.ndarray, "N E"]:
        """The token to be said after each token of a block, where one is learned.

        It stands one position ahead of the feature; the last position is the next item's.
        """
        is_said = self._is_learned & (told != UNKNOWN)
        found = np.full((len(told), self.block_size), ignore_index, dtype=np.int64)
        found[:, self.tokens.block_size - 1 : -1] = np.where(
            is_said, self.first_tokens + told, ignore_index
        )
        return found

    def count_feature_labels(self, codes: Int[np.ndarray, "N C"]) -> int:
        """How many features the blocks of events teach, the last aside, which ends them."""
        told = self.block_codes(codes[:-1], codes[1:])
        return int((self._is_learned & (told != UNKNOWN)).sum())

    def flatten(self, histories: Sequence[Int[np.ndarray, " T"]], max_length: int) -> FlatEvents:
        """The last events of every history; of plain items what their titles say.

        An empty history is one unknown title. Times that nobody knows are ``NO_TIME``.
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
        told = [
            self.block_codes(history, np.concatenate([history[1:], asked[None]]))
            for history, asked in zip(codes, histories.conditions, strict=True)
        ]
        lengths = np.array([len(history) for history in items])
        times = self._flat_times(histories, lengths) if self.grammar.times is not None else None
        return FlatEvents(np.concatenate(items), np.concatenate(told), lengths, times)

    def _flat_times(
        self, histories: EventHistories, lengths: Int[np.ndarray, " H"]
    ) -> Int64[np.ndarray, "N 2"]:
        """``block_times`` of the last ``lengths`` events of every history."""
        if histories.times is None:
            return np.full((lengths.sum(), 2), NO_TIME, dtype=np.int64)
        unknown = np.full(1, NO_TIME, dtype=np.int64)
        found = []
        for place, (history, length) in enumerate(zip(histories.times, lengths, strict=True)):
            when = unknown
            if histories.target_times is not None:
                when = histories.target_times[place : place + 1]
            times = history[-length:] if len(history) else unknown
            found.append(self.block_times(times, np.append(times[1:], when)))
        return np.concatenate(found)

    def shorten(self, histories: EventHistories) -> EventHistories:
        """The same histories as short as the grammar makes them."""
        if not self.grammar.shortens_histories:
            return histories
        items, codes, firsts = [], [], []
        for titles, told in zip(histories.items, histories.codes, strict=True):
            left = shorten_events(self.grammar, told, np.arange(len(titles)) == 0)
            items.append(titles[left.kept])
            codes.append(left.codes)
            firsts.append(left.first)
        times = histories.times
        if times is not None:
            times = [of_one[first] for of_one, first in zip(times, firsts, strict=True)]
        return replace(histories, items=items, codes=codes, times=times)

    def without_features(self, histories: Sequence[Int[np.ndarray, " T"]]) -> EventHistories:
        """Histories of which no more is known than their titles."""
        codes = [self.coder.item_feature_codes(np.asarray(history)) for history in histories]
        return EventHistories(list(histories), codes, self.no_conditions(len(codes)))

    def without_conditions(self, histories: EventHistories) -> EventHistories:
        """The same histories, asked for no kind of title; when it will be watched stays told."""
        asked = np.where(self.grammar.is_target_time, histories.conditions, UNKNOWN)
        return replace(histories, conditions=asked)

    def no_conditions(self, num_histories: int) -> Int[np.ndarray, "H C"]:
        """Everything open before the titles that are asked for."""
        return np.full((num_histories, len(self._is_before)), UNKNOWN, dtype=np.int32)


def event_text(grammar: Grammar, item_ids: Sequence[str], told: Int[np.ndarray, "N C"]) -> str:
    """Events as the text that the tokenizer reads.

    Args:
        grammar: the features.
        item_ids: of titles.
        told: codes of what follows each, and of what stands before the next one.
    """
    words = [feature.words for feature in grammar.features]
    blocks = []
    for item_id, codes in zip(item_ids, told.tolist(), strict=True):
        said = [of_one[code] for of_one, code in zip(words, codes, strict=True)]
        blocks.append(" ".join([item_token(item_id), *said]))
    return " ".join(blocks)
