"""What a model folder's ``config.json`` holds; fields without a default are required."""

from typing import Literal

from transformers import AutoConfig, PreTrainedConfig

from seqrec.tokens.item_blocks import ItemBlocks, OneTokenItems, event_block_size


class SeqRecDecoderConfig(PreTrainedConfig):
    """The native decoder."""

    model_type = "seqrec_decoder"

    block: Literal["sasrec", "llama", "hstu"]
    """``sasrec``: pre-norm LayerNorm, GELU, learned positions; ``llama``: RMSNorm, SwiGLU, RoPE;
    ``hstu``: attention without a softmax, gated, no feed-forward, learned positions."""
    vocab_size: int
    """Rows of the token embedding, padding included."""
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    max_position_embeddings: int
    dropout: float
    """Share of embeddings and block outputs dropped in training."""
    item_dropout: float
    """Share of whole input vectors dropped in training."""
    relative_bias: bool
    """Whether attention has a learned bias for every head and distance."""
    gated_residual: bool
    """Whether what a block adds is gated by what it reads."""
    initializer_range: float
    """Standard deviation of the initial weights."""
    norm_eps: float
    rope_theta: float | None
    """Base of the rotary wavelengths; None where positions are learned."""
    pad_token_id: int | None = None
    time_bias: Literal["past_times", "target_time"] | None = None
    """Whether attention has a learned bias for every head and gap in time, and to when gaps are
    counted: ``past_times``, to the event at the position that reads; ``target_time``, to the
    title that it is asked for. None: no such bias, as in folders that were written before."""


class SeqRecConfig(PreTrainedConfig):
    """A decoder of any transformers type, or the native one, under a catalog head."""

    model_type = "seqrec"
    sub_configs = {"backbone_config": AutoConfig}

    backbone_config: dict | PreTrainedConfig
    head: Literal["tied", "untied"]
    """``tied``: the catalog head scores with the items' token embeddings; or with its own rows."""
    causal: bool
    """Whether a position reads what is before it alone, or the whole history."""
    cosine_scale: float | None
    """What the cosine of state and item is multiplied by; None: their product is the score."""
    num_items: int
    padded_num_items: int
    first_item_token: int
    max_length: int
    """Items of a history that the model reads: the last ones."""
    content: dict | None
    """Of item vectors made from content: ``content_width``."""
    transition_prior: dict | None
    """Of a transition memory: ``num_edges`` and the settings of ``TransitionPrior``."""
    catalog_fingerprint: str
    tokenizer_fingerprint: str
    events: dict | None = None
    """The event grammar that histories are told in (``Grammar.to_dict``); None: titles alone, as
    in folders that were written before there were grammars."""
    event_vectors: Literal["each", "sum"] = "each"
    """``each``: every token of an event has a position; ``sum``: the event has one, at which the
    decoder reads the sum of its tokens' vectors."""

    def __post_init__(self, **kwargs):
        self.backbone_config = _build_config(self.backbone_config)
        super().__post_init__(**kwargs)

    @property
    def tokens_per_event(self) -> int:
        """Those of an item and of its event's features."""
        num_features = 0 if self.events is None else len(self.events["features"])
        return event_block_size(self.item_blocks.length, num_features)

    @property
    def tokens_per_position(self) -> int:
        """Those of an event, where they share a position."""
        return 1 if self.event_vectors == "each" else self.tokens_per_event

    @property
    def max_tokens(self) -> int:
        """Tokens of a history that the model reads: the last ones."""
        return self.max_length * self.tokens_per_event

    @property
    def item_blocks(self) -> ItemBlocks:
        """The tokens of every item."""
        return OneTokenItems(self.first_item_token, self.num_items)

    @property
    def time_bias(self) -> Literal["past_times", "target_time"] | None:
        """The decoder's; None of decoders of other transformers types."""
        return getattr(self.backbone_config, "time_bias", None)


class SeqRecRewardConfig(PreTrainedConfig):
    """A decoder over rated titles, under a head that says whether a title is liked."""

    model_type = "seqrec_reward"
    sub_configs = {"backbone_config": AutoConfig}

    backbone_config: dict | PreTrainedConfig
    """The native decoder's; every member has one of its own."""
    head: Literal["tied", "untied"]
    """``tied``: candidates have the vectors of the titles that are read; or rows of their own."""
    intermediate_size: int
    """Inner width of the head."""
    dropout: float
    """Share of the head's inner units dropped in training."""
    num_items: int
    padded_num_items: int
    first_item_token: int
    max_length: int
    """Positions of a history: its start and its last titles."""
    rating_levels: list[float]
    """Ratings that have a vector, in order; others are read as the nearest."""
    num_rating_rows: int
    """Rows of the rating embedding: the start, no rating, and the levels."""
    liked: float | None
    """Least rating of a title that is liked; None: it has learned from labelled slates, and what
    it says of a slate is the logistic of its titles' mean logit."""
    catalog_fingerprint: str
    tokenizer_fingerprint: str
    num_members: int = 1
    """Judges that learn each for itself, and whose mean logit is the answer."""

    def __post_init__(self, **kwargs):
        self.backbone_config = _build_config(self.backbone_config)
        super().__post_init__(**kwargs)

    @property
    def item_blocks(self) -> ItemBlocks:
        """The tokens of every item."""
        return OneTokenItems(self.first_item_token, self.num_items)


def padding_token(backbone_config: dict | PreTrainedConfig) -> int:
    """The token of positions that no history reads; token 0 where a backbone names none."""
    return getattr(backbone_config, "pad_token_id", None) or 0


def _build_config(fields: dict | PreTrainedConfig) -> PreTrainedConfig:
    """The configuration that its fields, or a file's, say."""
    if isinstance(fields, PreTrainedConfig):
        return fields
    fields = dict(fields)
    return AutoConfig.for_model(fields.pop("model_type"), **fields)
