"""The interface of a model under verification, whatever its kind."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from seqrec.data.item_table import ItemTable
from seqrec.tokens.item_blocks import ItemBlocks
from seqrec.verification.rows import History, Rows


class Paths(NamedTuple):
    """The inputs of histories by every way that leads to the model."""

    serving: list[History]
    training: dict[int, History]
    """By history; a history without a window is absent."""
    text: list[np.ndarray]
    """The tokens of plain ``AutoTokenizer`` for the history as text."""


class Subject(ABC):
    """A loaded model folder; the subclasses are the kinds of models."""

    folder: Path
    model: Any
    tokenizer: PreTrainedTokenizerFast
    blocks: ItemBlocks
    """The tokens of the catalog's items."""
    table: ItemTable
    fills: dict[str, int]
    """The value of padding positions of each input."""
    generator: np.random.Generator

    @abstractmethod
    def draw_paths(self, lengths: Sequence[int], unknown_ids: Sequence[str]) -> Paths:
        """Return the inputs of random histories.

        Args:
            lengths: events of each history.
            unknown_ids: ids that the catalog lacks, which requests may hold.
        """

    @abstractmethod
    def load(self, folder: Path) -> PreTrainedModel:
        """Return the model of a folder, as every verb loads it."""

    @abstractmethod
    def states(self, model: Any, rows: Rows) -> Float[Tensor, "B T D"]:
        """Return the hidden state at every position."""

    @abstractmethod
    def end_states(self, rows: Rows) -> Float[Tensor, "H D"]:
        """Return the states at the ends of histories by the way that serving takes, row by row."""

    @abstractmethod
    def scores(self, histories: Sequence[History]) -> Float[np.ndarray, "B I"]:
        """Return the scores of items after histories that are encoded as one batch."""

    @abstractmethod
    def decoders(self) -> list[PreTrainedModel]:
        """Return the decoders: one, or one per member of an ensemble."""

    @abstractmethod
    def item_tables(self) -> list[Tensor]:
        """Return the weights with a row per item beside those of the decoders' embeddings."""

    @property
    def longest(self) -> int:
        """The number of events that the model reads."""
        return self.model.config.max_length
