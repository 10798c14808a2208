"""Contents of a model folder's ``config.json``; fields without a default are required."""

from typing import Literal

from transformers import AutoConfig, PreTrainedConfig

from seqrec.tokens.item_blocks import ItemBlocks, OneTokenItems, event_block_size


class SeqRecDecoderConfig(PreTrainedConfig):
    """Configuration of the native decoder."""

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
    """Add a learned attention bias for every head and distance."""
    gated_residual: bool
    """Gate the output of every block by its input."""
    initializer_range: float
    """Standard deviation of the initial weights."""
    norm_eps: float
    rope_theta: float | None
    """Base of the rotary wavelengths; None where positions are learned."""
    pad_token_id: int | None = None
    time_bias: Literal["past_times", "target_time"] | None = None
    """Learned attention bias for every head and time gap. Gaps are counted up to the query's event
    (``past_times``) or up to the item to be predicted (``target_time``). None: no such bias."""
    num_tokens: int | None = None
    """Tokens of the tokenizer: rows of the embedding without padding. None: not recorded."""


class SeqRecConfig(PreTrainedConfig):
    """A decoder of any transformers type, or the native one, under a catalog head."""

    model_type = "seqrec"
    sub_configs = {"backbone_config": AutoConfig}

    backbone_config: dict | PreTrainedConfig
    head: Literal["tied", "untied", "projected"]
    """``tied``: the catalog head scores with the items' token embeddings; ``untied``: with rows of
    its own; ``projected``: with rows of its own that are narrower than the decoder."""
    causal: bool
    """A position attends to earlier positions only (true) or to the whole history (false)."""
    cosine_scale: float | None
    """Factor of the cosine of state and item; None: the score is their inner product."""
    num_items: int
    padded_num_items: int
    first_item_token: int
    max_length: int
    """Number of last items of a history that the model reads."""
    content: dict | None
    """Arguments of ``ContentEmbedding``: ``content_width``; None: no content."""
    transition_prior: dict | None
    """Arguments of ``TransitionPrior``: ``num_edges`` and its settings; None: no prior."""
    catalog_fingerprint: str
    tokenizer_fingerprint: str
    events: dict | None = None
    """The event grammar of histories (``Grammar.to_dict``); None: items only."""
    refit: bool = False
    """The validation part was trained on, too: no validation metric of the model is valid."""
    event_vectors: Literal["each", "sum"] = "each"
    """``each``: every token of an event has a position; ``sum``: an event has one position, whose
    input is the sum of the vectors of its tokens."""
    head_size: int | None = None
    """Width of the item vectors of a ``projected`` head."""
    word_head: bool = False
    """The model also has the head that answers with tokens (``word_weight``)."""
    query_token: dict | None = None
    """The encoder of requests in words, whose vectors the query token reads: ``encoder`` (its
    name), ``fingerprint`` (of weights and vocabulary), ``pooling``, ``width``; and ``num_parts``,
    the vectors of its texts that an item has as content. None: the model reads no requests."""

    def __post_init__(self, **kwargs):
        self.backbone_config = _build_config(self.backbone_config)
        super().__post_init__(**kwargs)

    @property
    def state_width(self) -> int:
        """Width of states and item vectors, whose products are scores."""
        assert isinstance(self.backbone_config, PreTrainedConfig)
        return self.head_size or self.backbone_config.hidden_size

    @property
    def tokens_per_event(self) -> int:
        """Tokens of an item and of the features of its event."""
        num_features = 0 if self.events is None else len(self.events["features"])
        return event_block_size(self.item_blocks.length, num_features)

    @property
    def tokens_per_position(self) -> int:
        """Tokens that share a position: those of an event with ``event_vectors: sum``, else 1."""
        return 1 if self.event_vectors == "each" else self.tokens_per_event

    @property
    def max_tokens(self) -> int:
        """Number of last tokens of a history that the model reads."""
        return self.max_length * self.tokens_per_event

    @property
    def item_blocks(self) -> ItemBlocks:
        """The tokens of every item."""
        return OneTokenItems(self.first_item_token, self.num_items)

    @property
    def time_bias(self) -> Literal["past_times", "target_time"] | None:
        """The time bias of the decoder; None for decoders of other transformers types."""
        return getattr(self.backbone_config, "time_bias", None)


class SeqRecRewardConfig(PreTrainedConfig):
    """A decoder over rated items, under a head that predicts whether an item is liked."""

    model_type = "seqrec_reward"
    sub_configs = {"backbone_config": AutoConfig}

    backbone_config: dict | PreTrainedConfig
    """Configuration of the native decoder; every member has its own decoder of this shape."""
    head: Literal["tied", "untied"]
    """``tied``: candidates have the vectors of the input items; ``untied``: rows of their own."""
    intermediate_size: int
    """Inner width of the head."""
    dropout: float
    """Share of the head's inner units dropped in training."""
    num_items: int
    padded_num_items: int
    first_item_token: int
    max_length: int
    """Positions of a history: its start and its last items."""
    rating_levels: list[float]
    """Ratings that have a vector, in order; another rating is read as the nearest of them."""
    num_rating_rows: int
    """Rows of the rating embedding: the start, no rating, and the levels."""
    liked: float | None
    """Lowest rating of a liked item. None: trained on labelled slates; the probability of a slate
    is the logistic function of its items' mean logit."""
    catalog_fingerprint: str
    tokenizer_fingerprint: str
    num_members: int = 1
    """Independently trained ensemble members; the output is their mean logit."""

    def __post_init__(self, **kwargs):
        self.backbone_config = _build_config(self.backbone_config)
        super().__post_init__(**kwargs)

    @property
    def item_blocks(self) -> ItemBlocks:
        """The tokens of every item."""
        return OneTokenItems(self.first_item_token, self.num_items)


def padding_token(backbone_config: dict | PreTrainedConfig) -> int:
    """Return the token of padding positions; token 0 if the backbone defines none."""
    return getattr(backbone_config, "pad_token_id", None) or 0


def _build_config(fields: dict | PreTrainedConfig) -> PreTrainedConfig:
    """Return the configuration object of a backbone, built from its fields if necessary."""
    if isinstance(fields, PreTrainedConfig):
        return fields
    fields = dict(fields)
    return AutoConfig.for_model(fields.pop("model_type"), **fields)
