"""The ``objective`` block: what is learned, and by which loss."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from seqrec.config.block import Block


class ObjectiveConfig(Block):
    """What the other blocks of a recipe depend on in its objective; the defaults need nothing."""

    has_epochs: ClassVar[bool] = True
    """Training runs in epochs over batches of the data, not in updates."""
    reads_windows: ClassVar[bool] = False
    """Histories are cut as data.windows and data.stride say."""
    reads_pairs: ClassVar[bool] = False
    """Batches come from data.pairs, a share of which is held out."""
    predicts_likes: ClassVar[bool] = False
    """The model predicts likes, not next items: it is chosen by auc, and reads data.labels."""
    reads_events: ClassVar[bool] = False
    """Event features and times are read and learned."""

    @property
    def sampled_loss(self) -> str | None:
        """The name of a loss over sampled negatives; None if every item is scored."""
        return None

    @property
    def targets_per_position(self) -> int:
        """How many of the next items are learned at every position."""
        return 1

    @property
    def sets_events_share(self) -> bool:
        """Whether the share of event features in the loss differs from its default."""
        return False

    @property
    def continues_histories(self) -> bool:
        """Whether the model learns from histories that it continued itself."""
        return False


class CrossEntropyConfig(Block):
    name: Literal["cross_entropy"] = "cross_entropy"
    """Full softmax over the catalog."""
    chunk_size: int | None = Field(default=None, gt=0)
    """Positions scored at once; null: as many as suit catalog and device."""


class SampledConfig(Block):
    num_negatives: int = Field(default=256, gt=0)
    """Items drawn for a step, shared by its positions."""
    negatives: Literal["uniform", "popularity", "in_batch", "mixed"] = "uniform"
    """What they are drawn from: the catalog, the training counts, the batch's targets, or the
    batch's targets and the catalog."""
    power: float = Field(default=1.0, ge=0, le=1)
    """Of the training counts under popularity: 0 makes titles alike."""
    in_batch_share: float = Field(default=0.5, ge=0, le=1)
    """Share of the batch's targets in mixed."""
    sparse: bool = True
    """A step touches the rows of the items that it used, and no others."""


class SampledSoftmaxConfig(SampledConfig):
    name: Literal["sampled_softmax"]
    """Softmax over the target and the negatives."""
    log_q: bool = True
    """Weigh negatives by how rarely they are drawn, as an estimate of the full softmax."""


class BinaryCrossEntropyConfig(SampledConfig):
    name: Literal["binary_cross_entropy"]
    """The target against each negative, one by one."""


class GBCEConfig(SampledConfig):
    name: Literal["gbce"]
    """Binary cross-entropy, calibrated for how few negatives are drawn."""
    t: float = Field(default=0.75, ge=0, le=1)
    """From 0, plain binary cross-entropy, to 1, fully calibrated."""


LossConfig = Annotated[
    CrossEntropyConfig | SampledSoftmaxConfig | BinaryCrossEntropyConfig | GBCEConfig,
    Field(discriminator="name"),
]


class DPOConfig(Block):
    name: Literal["dpo"] = "dpo"
    """The chosen answer against each rejected one, relative to the reference."""
    beta: float = Field(default=0.1, gt=0)
    """What a nat of preference counts; the smaller, the further the policy may go."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    """Share of the comparisons that are taken to be the wrong way round."""


class IPOConfig(Block):
    name: Literal["ipo"]
    """As dpo, but towards a gap of 1 / (2 beta) nats and no further."""
    beta: float = Field(default=0.1, gt=0)
    """Sets the gap."""


class SimPOConfig(Block):
    name: Literal["simpo"]
    """The policy's own log-probabilities a title, without a reference."""
    beta: float = Field(default=2.0, gt=0)
    """What a nat of preference counts."""
    gamma: float = Field(default=1.0, ge=0)
    """The gap, times beta, that the chosen answer should have."""


class KTOConfig(Block):
    name: Literal["kto"]
    """Likes and dislikes one by one, relative to the reference; they need no partner."""
    beta: float = Field(default=0.1, gt=0)
    """What a nat counts."""
    chosen_weight: float = Field(default=1.0, ge=0)
    """What a like counts."""
    rejected_weight: float = Field(default=1.0, ge=0)
    """What a dislike counts."""


class SDPOConfig(Block):
    name: Literal["s_dpo"]
    """The chosen answer against all rejected ones at once, relative to the reference."""
    beta: float = Field(default=0.1, gt=0)
    """What a nat of preference counts."""


PreferenceLossConfig = Annotated[
    DPOConfig | IPOConfig | SimPOConfig | KTOConfig | SDPOConfig, Field(discriminator="name")
]


class PreferenceConfig(ObjectiveConfig):
    reads_pairs: ClassVar[bool] = True

    name: Literal["preference"]
    """Better against worse answers to a history, from the pairs in data.pairs."""
    loss: PreferenceLossConfig = DPOConfig()
    """The loss of pairs."""
    sft_share: float = Field(default=0.1, ge=0, lt=1)
    """Share of the loss that is next-item prediction within the histories shown."""
    reference: str | None = None
    """What the policy is held against: a run or model folder, or what seqrec cache wrote of the
    model that training starts from; null: that model."""
    tolerance: float = Field(default=0.05, ge=0, lt=1)
    """Training stops when recall@10 or ndcg@10 on validation falls by more than this share."""

    @model_validator(mode="after")
    def _simpo_has_no_reference(self) -> "PreferenceConfig":
        if self.loss.name == "simpo" and self.reference is not None:
            raise ValueError("reference: loss simpo has none")
        return self


class ForwardKLConfig(Block):
    name: Literal["forward_kl"] = "forward_kl"
    """The teacher's distribution against the student's: the student covers the teacher."""
    temperature: float = Field(default=1.0, gt=0)
    """Logits of both are divided by it."""


class ReverseKLConfig(Block):
    name: Literal["reverse_kl"]
    """The student's distribution against the teacher's: the student stays inside the teacher."""
    temperature: float = Field(default=1.0, gt=0)
    """Logits of both are divided by it."""


class JensenShannonConfig(Block):
    name: Literal["jensen_shannon"]
    """Both against their mixture."""
    share: float = Field(default=0.5, gt=0, lt=1)
    """The teacher's share of the mixture: towards 0 as forward_kl, towards 1 as reverse_kl."""
    temperature: float = Field(default=1.0, gt=0)
    """Logits of both are divided by it."""


DivergenceConfig = Annotated[
    ForwardKLConfig | ReverseKLConfig | JensenShannonConfig, Field(discriminator="name")
]


class ContinuationConfig(Block):
    num_items: int = Field(default=3, gt=0)
    """Titles of the student's that a history goes on with."""
    temperature: float = Field(default=1.0, gt=0)
    """Of the student's distribution that they are drawn from."""
    share: float = Field(default=0.5, gt=0, le=1)
    """Of the loss."""


class DistillationConfig(ObjectiveConfig):
    reads_windows: ClassVar[bool] = True

    name: Literal["distillation"]
    """Answer as a teacher does, over the whole catalog."""
    loss: DivergenceConfig = ForwardKLConfig()
    """The divergence from the teacher."""
    teachers: list[str] = []
    """Run or model folders; of several, the mean of their probabilities is learned. Beside a cache:
    whose answers it must hold."""
    cache: str | None = None
    """What seqrec cache wrote of the teachers' answers, to learn from without the teachers."""
    use_tail_mass: bool = True
    """Titles that the cache does not hold share what the others leave; false: they are taken to
    be impossible."""
    sft_share: float = Field(default=0.1, ge=0, lt=1)
    """Share of the loss that is next-item prediction."""
    state_share: float = Field(default=0.0, ge=0, lt=1)
    """Share of the loss that is what the student's hidden states cannot say of the teachers'."""
    on_policy: ContinuationConfig | None = None
    """Also learn at titles that the student itself continues histories with; null: do not."""

    @property
    def continues_histories(self) -> bool:
        return self.on_policy is not None

    @model_validator(mode="after")
    def _a_cache_holds_answers_alone(self) -> "DistillationConfig":
        if self.cache is None:
            if not self.use_tail_mass:
                raise ValueError("use_tail_mass goes with a cache; live teachers say everything")
            return self
        if self.loss != ForwardKLConfig():
            raise ValueError(
                "cache goes with loss forward_kl at temperature 1; name teachers without a cache"
            )
        if self.state_share or self.on_policy is not None:
            raise ValueError("state_share and on_policy need teachers without a cache")
        return self


class RewardModelConfig(ObjectiveConfig):
    predicts_likes: ClassVar[bool] = True

    name: Literal["reward_model"]
    """Whether a title is liked by whom a history with its ratings is of."""
    liked: float = 4.0
    """Least rating of a title that is liked; labels of data.labels are likes from 0.5 on."""
    held_out_share: float = Field(default=0.2, gt=0, lt=1)
    """Share of the users, by a hash of their ids, that are not learned from: half of them choose
    the epoch, the other half judge it."""


class SFTConfig(ObjectiveConfig):
    reads_windows: ClassVar[bool] = True
    reads_events: ClassVar[bool] = True

    name: Literal["sft"]
    """Next-item prediction at every position."""
    loss: LossConfig = CrossEntropyConfig()
    """The loss over the catalog."""
    num_targets: int = Field(default=1, gt=0)
    """Titles to come that are learned at every position."""
    target_decay: float = Field(default=0.5, gt=0, le=1)
    """What a title counts, relative to the one before it, where several are learned."""
    weight: str | None = None
    """Column that says how much a target counts; 0 is read but not learned."""
    events_share: float = Field(default=0.2, ge=0, lt=1)
    """Share of the loss that is saying the learned features of data.events, if it has any."""

    @property
    def sampled_loss(self) -> str | None:
        return None if self.loss.name == "cross_entropy" else self.loss.name

    @property
    def targets_per_position(self) -> int:
        return self.num_targets

    @property
    def sets_events_share(self) -> bool:
        return self.events_share != type(self).model_fields["events_share"].default

    @model_validator(mode="after")
    def _several_targets_need_the_catalog(self) -> "SFTConfig":
        if self.num_targets > 1 and self.loss.name != "cross_entropy":
            raise ValueError(f"num_targets {self.num_targets} goes with loss cross_entropy")
        return self
