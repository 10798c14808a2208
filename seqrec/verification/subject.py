"""The interface of a model under verification, whatever its kind."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from seqrec.data.item_table import ItemTable
from seqrec.ranking.recommender import Recommender
from seqrec.tokens.item_blocks import ItemBlocks
from seqrec.verification.findings import Measured
from seqrec.verification.rows import History, Rows

FLOAT_BOUND, BFLOAT16_BOUND = 1e-5, 0.03
"""Bounds of a shallow decoder: of the largest difference of float32 states, relative to the largest
value, and of the root mean square of what bfloat16 changes, relative to the states'."""
SHALLOW = 4
"""Blocks of the deepest decoder whose bounds are those."""


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
    fills: dict[str, int]
    """The value of padding positions of each input."""
    generator: np.random.Generator
    blocks: ItemBlocks | None = None
    """The tokens of the catalog's items; None without a catalog."""
    table: ItemTable | None = None
    """The catalog."""
    num_drawn = 24
    """Random histories whose states are compared."""
    short = 40
    """Most events, or words, of a short random history."""
    recommender: Recommender | None = None
    """The model as ranker; None for models that do not rank a catalog."""

    @abstractmethod
    def draw_paths(self, lengths: Sequence[int], unknown_ids: Sequence[str]) -> Paths:
        """Return the inputs of random histories.

        Args:
            lengths: events, or words, of each history.
            unknown_ids: ids that the catalog lacks, which requests may hold.
        """

    @abstractmethod
    def load(self, folder: Path) -> dict[str, PreTrainedModel]:
        """Return the model of a folder, as each way to load it gives it."""

    def save(self, folder: Path) -> None:
        """Write the model to an empty folder, without its tokenizer."""
        self.model.save_pretrained(folder)

    def more_properties(self, num_drawn: int) -> dict[str, Callable[[Any], Measured]]:
        """Return the measurements of properties that this kind of model has beside all others.

        Args:
            num_drawn: random histories.
        """
        return {}

    @abstractmethod
    def states(self, model: Any, rows: Rows) -> Float[Tensor, "B T D"]:
        """Return the hidden state at every position."""

    @abstractmethod
    def end_states(self, rows: Rows) -> Float[Tensor, "H D"]:
        """Return the states at the ends of histories by the way that serving takes, row by row."""

    @abstractmethod
    def scores(self, histories: Sequence[History]) -> Float[np.ndarray, "B I"]:
        """Return the scores of items, or words, after histories that are encoded as one batch."""

    @abstractmethod
    def full_states(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Return the states of rows of one history each, all of one length, by one pass."""

    @abstractmethod
    def decode(self, tokens: Int[Tensor, "B T"], num_steps: int) -> Float[Tensor, "B S D"]:
        """Return the states of the last tokens, decoded one by one with a cache.

        Raises:
            DoesNotApply: the model does not decode.
        """

    @abstractmethod
    def decoders(self) -> list[PreTrainedModel]:
        """Return the decoders: one, or one per member of an ensemble."""

    @abstractmethod
    def padding_rows(self) -> list[Tensor]:
        """Return views of the rows of all tables that stand for no word and no item."""

    @abstractmethod
    def count_outside(self) -> int:
        """Return the number of answers that are no item, or no word."""

    @property
    def longest(self) -> int:
        """The number of events, or words, that the model reads."""
        return self.model.config.max_length

    @property
    def float_bound(self) -> float:
        """Largest difference of float32 states or scores, relative to the largest value.

        Every block of a decoder rounds what the blocks before it rounded: SmolLM2's 30 blocks have
        states that differ from float64's by 3e-5.
        """
        return FLOAT_BOUND * self._depth_factor

    @property
    def bfloat16_bound(self) -> float:
        """Root mean square of what bfloat16 changes, relative to the states'."""
        return BFLOAT16_BOUND * self._depth_factor**0.5

    @property
    def _depth_factor(self) -> int:
        blocks = max(one.config.num_hidden_layers for one in self.decoders())
        return max(1, blocks - SHALLOW + 1)
