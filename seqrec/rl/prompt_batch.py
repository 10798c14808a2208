"""Tokenized prompts: the histories for which slates are sampled."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from seqrec.errors import SeqRecError
from seqrec.rl.shared_prefix import Layout
from seqrec.tokens.item_blocks import ItemBlocks
from seqrec.training.tensors import queue_copy


@dataclass(frozen=True)
class PromptBatch:
    """Histories as tokens, and the items that are excluded after each."""

    input_ids: Int[Tensor, "B T"]
    """Padded on the right."""
    lengths: Int[Tensor, " B"]
    seen: Int[Tensor, "B S"]
    """Items of the history, which are excluded; -1 pads rows with fewer."""
    tokens: Int[Tensor, " N"]
    """The tokens of all histories, one history after the other."""
    sizes: list[int]
    """``lengths`` in the memory of the host."""

    @classmethod
    def of(
        cls,
        histories: Sequence[Int[np.ndarray, " T"]],
        *,
        blocks: ItemBlocks,
        pad_token_id: int,
        max_length: int,
        device: torch.device | None = None,
    ) -> "PromptBatch":
        """Build a batch of histories: the last ``max_length`` items are read, all are seen."""
        read = [blocks.encode(history[-max_length:]).flatten() for history in histories]
        return cls.of_tokens(read, histories, pad_token_id=pad_token_id, device=device)

    @classmethod
    def of_tokens(
        cls,
        read: Sequence[Int[np.ndarray, " L"]],
        histories: Sequence[Int[np.ndarray, " T"]],
        *,
        pad_token_id: int,
        device: torch.device | None = None,
    ) -> "PromptBatch":
        """Build a batch from the tokens and the items of each history.

        Raises:
            SeqRecError: an empty history, after which the model has no state.
        """
        if not all(len(tokens) for tokens in read):
            empty = next(row for row, tokens in enumerate(read) if not len(tokens))
            raise SeqRecError(f"history {empty} is empty: a slate needs an item to follow")
        input_ids = torch.full((len(read), max(len(tokens) for tokens in read)), pad_token_id)
        known = [np.unique(history) for history in histories]
        seen = torch.full((len(read), max(len(items) for items in known)), -1)
        for row, (tokens, seen_items) in enumerate(zip(read, known, strict=True)):
            input_ids[row, : len(tokens)] = torch.tensor(tokens)
            seen[row, : len(seen_items)] = torch.tensor(seen_items)
        there = torch.device("cpu") if device is None else device
        sizes = [len(tokens) for tokens in read]
        return cls(
            input_ids=queue_copy(input_ids, there),
            lengths=queue_copy(torch.tensor(sizes), there),
            seen=queue_copy(seen, there),
            tokens=queue_copy(torch.from_numpy(np.concatenate(read)).long(), there),
            sizes=sizes,
        )

    def __len__(self) -> int:
        return len(self.input_ids)

    def layout(self, num_branches: int, num_tokens: int) -> Layout:
        """Return the rows of the batch with branches behind each history, built once per shape."""
        shape = num_branches, num_tokens
        if shape not in self._layouts:
            device = self.input_ids.device
            parts = (queue_copy(part, device) for part in Layout.of(self.sizes, *shape))
            self._layouts[shape] = Layout(*parts)
        return self._layouts[shape]

    @cached_property
    def _layouts(self) -> dict[tuple[int, int], Layout]:
        return {}
