"""Models with two heads that training goes on from: the language model, and what lies beside it."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from seqrec.errors import SeqRecError
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.models.two_heads import as_language_model
from seqrec.ranking.recommender import Recommender
from seqrec.tokens.tokenizer import load_tokenizer


class TwoHeads(NamedTuple):
    """A model with two heads before it is made trainable."""

    words: PreTrainedModel
    """The causal language model."""
    model: SeqRecForNextItem
    """Shares decoder and word head with ``words``."""
    tokenizer: PreTrainedTokenizerFast
    items: Any
    """A row for every item, in catalog order."""
    item_counts: Int[np.ndarray, " I"]
    """Training interactions of every item."""


class KeptCatalog:
    """The catalog of a model with two heads, beside its language model while that alone learns."""

    def __init__(self, whole: TwoHeads, *, moves_rows: bool) -> None:
        """Set the parts.

        Args:
            whole: the model, in full precision.
            moves_rows: training changes the input embeddings.
        """
        self.items = whole.items
        self.item_counts = whole.item_counts
        self._model = whole.model
        config = whole.model.config
        self.is_unchanged = config.head != "tied" or not moves_rows
        """True if training leaves the item vectors as they are."""
        rows = slice(config.first_item_token, config.first_item_token + config.num_items)
        table: Any = whole.words.get_input_embeddings()
        self._rows = rows
        self._values: Float[Tensor, "I D"] | None = None
        if not moves_rows:  # which are held in less precision meanwhile
            self._values = table.weight[rows].detach().clone()

    @torch.no_grad()
    def join(self, words: Any) -> SeqRecForNextItem:
        """Return the model with both heads, with the updates of an adapter beside the weights.

        Args:
            words: the trained language model, whose decoder is the model's; its weights become
                float32.
        """
        model = self._model
        words.float()
        if model.word_head is not None:
            model.word_head = words.get_output_embeddings()
        if self._values is not None:
            table: Any = model.get_input_embeddings()
            table.weight[self._rows] = self._values
        return model.eval()


def open_two_heads(folder: Path, named: str) -> TwoHeads:
    """Return a model of seqrec with both heads, in float32.

    Args:
        folder: the model folder.
        named: the setting that names it, for errors.

    Raises:
        SeqRecError: a broken folder, or a model that answers with items alone.
    """
    start = Recommender.from_pretrained(folder)
    if not start.model.config.word_head:
        raise SeqRecError(
            f"{named}: answers with items alone; name a model that was trained with "
            "model.word_head=true, or a language model"
        )
    tokenizer = load_tokenizer(folder)
    words = as_language_model(start.model, tokenizer)
    counts = start.items["num_interactions"].to_numpy()
    return TwoHeads(words, start.model, tokenizer, start.items, counts)
