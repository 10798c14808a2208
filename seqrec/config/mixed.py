"""The recipe of a run that trains a language model on texts and items, with a head for each."""

from typing import Literal

from pydantic import Field, model_validator

from seqrec.config.block import Block
from seqrec.config.limits import MAX_FACTOR, MAX_ITEMS, MAX_ROWS, MAX_WIDTH
from seqrec.config.text import LanguageModelConfig, TextDataConfig
from seqrec.config.text_recipe import TextRecipe


class MixedDataConfig(TextDataConfig):
    catalog: str | None = None
    """Prepared folder, whose items texts may name. null: the items of the model, which has some."""
    history_length: int = Field(default=50, gt=1, le=MAX_ITEMS)
    """Most last items of a history that the model reads."""
    histories_share: float = Field(default=0.0, ge=0, lt=1)
    """Share of the examples that are histories of the catalog's log, without the items that its
    split holds out; 0: texts alone."""


class MixedModelConfig(LanguageModelConfig):
    head: Literal["tied", "untied", "projected"] = "tied"
    """Output embeddings of the items: tied to the input embeddings, a table of their own, or a
    table that is head_size wide, to which the states are projected."""
    head_size: int | None = Field(default=None, gt=0, le=MAX_WIDTH)
    """Width of the item vectors of head projected, which retrieval systems then hold."""
    initial_vectors: Literal["random", "text", "model"] = "text"
    """Initial item vectors: random, at the scale of the words; text, the mean of the words of the
    title; or model, the vectors of initial_vectors_of."""
    initial_vectors_of: str | None = None
    """Run or model folder whose item vectors start those of this model, through a least-squares map
    that is fitted to the means of the titles' words."""

    @model_validator(mode="after")
    def _check_pairs(self) -> "MixedModelConfig":
        if (self.head == "projected") != (self.head_size is not None):
            raise ValueError("head projected and head_size go together")
        if (self.initial_vectors == "model") != (self.initial_vectors_of is not None):
            raise ValueError("initial_vectors model and initial_vectors_of go together")
        return self


class MixedSFTConfig(Block):
    name: Literal["mixed_sft"]
    """Next-token prediction in texts that name items, and in histories of items."""
    item_weight: float = Field(default=1.0, ge=0, le=MAX_FACTOR)
    """Weight of the catalog head's loss, which learns every learned item among all items."""
    word_weight: float = Field(default=1.0, ge=0, le=MAX_FACTOR)
    """Weight of the word head's loss, which learns every learned token, items among them, so that
    generated texts name items in the right places."""
    chunk_size: int | None = Field(default=None, gt=0, le=MAX_ROWS)
    """Positions scored at once; null: chosen for vocabulary and device."""

    @model_validator(mode="after")
    def _check_weights(self) -> "MixedSFTConfig":
        if not self.item_weight and not self.word_weight:
            raise ValueError("item_weight and word_weight: one of them is above 0")
        return self


class MixedRecipe(TextRecipe):
    """The settings of one training run on texts and items."""

    data: MixedDataConfig = MixedDataConfig()
    model: MixedModelConfig
    objective: MixedSFTConfig  # type: ignore[assignment]
