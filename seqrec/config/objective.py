"""The ``objective`` block: how the model is trained, and with which loss."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from seqrec.config.block import Block
from seqrec.config.limits import MAX_FACTOR, MAX_LIST, MAX_ROWS
from seqrec.config.objective_config import ObjectiveConfig


class CrossEntropyConfig(Block):
    name: Literal["cross_entropy"] = "cross_entropy"
    """Full softmax over the catalog."""
    chunk_size: int | None = Field(default=None, gt=0, le=MAX_ROWS)
    """Positions scored at once; null: chosen for catalog and device."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of a target's probability that is spread evenly over the catalog."""


class SampledConfig(Block):
    num_negatives: int = Field(default=256, gt=0, le=MAX_ROWS)
    """Negatives of a step, shared by its positions."""
    negatives: Literal["uniform", "popularity", "in_batch", "mixed"] = "uniform"
    """Distribution of the negatives: uniform over the catalog, by training counts, the batch's
    targets, or the batch's targets and the catalog."""
    power: float = Field(default=1.0, ge=0, le=1)
    """Power of the training counts under popularity; 0 draws uniformly."""
    in_batch_share: float = Field(default=0.5, ge=0, le=1)
    """Share of the batch's targets among the negatives under mixed."""
    sparse: bool = True
    """Update only the embedding rows of the items in a step."""


class SampledSoftmaxConfig(SampledConfig):
    name: Literal["sampled_softmax"]
    """Softmax over the target and the negatives."""
    log_q: bool = True
    """Subtract the log-probability of drawing each negative, which estimates the full softmax."""


class BinaryCrossEntropyConfig(SampledConfig):
    name: Literal["binary_cross_entropy"]
    """Binary cross-entropy of the target and of each negative."""


class GBCEConfig(SampledConfig):
    name: Literal["gbce"]
    """Binary cross-entropy, calibrated for the number of negatives (gBCE)."""
    t: float = Field(default=0.75, ge=0, le=1)
    """Calibration: 0 is binary cross-entropy, 1 is fully calibrated."""


LossConfig = Annotated[
    CrossEntropyConfig | SampledSoftmaxConfig | BinaryCrossEntropyConfig | GBCEConfig,
    Field(discriminator="name"),
]


class DPOConfig(Block):
    name: Literal["dpo"] = "dpo"
    """The chosen answer against each rejected one, relative to the reference."""
    beta: float = Field(default=0.1, gt=0, le=MAX_FACTOR)
    """Weight of the log-ratio to the reference; the smaller, the further the policy may move."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    """Share of the comparisons that are assumed to be reversed."""


class IPOConfig(Block):
    name: Literal["ipo"]
    """Like dpo, with a target gap of 1 / (2 beta) nats that is not exceeded."""
    beta: float = Field(default=0.1, gt=0, le=MAX_FACTOR)
    """Sets the target gap: 1 / (2 beta) nats."""


class SimPOConfig(Block):
    name: Literal["simpo"]
    """The policy's own log-probabilities per item, without a reference."""
    beta: float = Field(default=2.0, gt=0, le=MAX_FACTOR)
    """Weight of the log-probabilities."""
    gamma: float = Field(default=1.0, ge=0, le=MAX_FACTOR)
    """Target gap between chosen and rejected answers, multiplied by beta."""


class KTOConfig(Block):
    name: Literal["kto"]
    """Likes and dislikes separately, relative to the reference; they need not come in pairs."""
    beta: float = Field(default=0.1, gt=0, le=MAX_FACTOR)
    """Weight of the log-ratio to the reference."""
    chosen_weight: float = Field(default=1.0, ge=0, le=MAX_FACTOR)
    """Weight of a like."""
    rejected_weight: float = Field(default=1.0, ge=0, le=MAX_FACTOR)
    """Weight of a dislike."""


class SDPOConfig(Block):
    name: Literal["s_dpo"]
    """The chosen answer against all rejected ones at once, relative to the reference."""
    beta: float = Field(default=0.1, gt=0, le=MAX_FACTOR)
    """Weight of the log-ratio to the reference."""


PreferenceLossConfig = Annotated[
    DPOConfig | IPOConfig | SimPOConfig | KTOConfig | SDPOConfig, Field(discriminator="name")
]


class PreferenceConfig(ObjectiveConfig):
    reads_pairs: ClassVar[bool] = True

    name: Literal["preference"]
    """Chosen against rejected answers to a history, from the pairs in data.pairs."""
    loss: PreferenceLossConfig = DPOConfig()
    """Loss of the pairs."""
    sft_share: float = Field(default=0.1, ge=0, lt=1)
    """Share of the loss that is next-item prediction within the histories of the pairs."""
    reference: str | None = None
    """Reference of the loss: a run or model folder, or a file that seqrec cache wrote for the model
    that training starts from; null: that model."""
    tolerance: float = Field(default=0.05, ge=0, lt=1)
    """Training stops if recall@10 or ndcg@10 on validation falls by more than this share."""

    @model_validator(mode="after")
    def _check_reference(self) -> "PreferenceConfig":
        if self.loss.name == "simpo" and self.reference is not None:
            raise ValueError("reference: loss simpo has none")
        return self


class ForwardKLConfig(Block):
    name: Literal["forward_kl"] = "forward_kl"
    """The teacher's distribution against the student's: the student covers the teacher."""
    temperature: float = Field(default=1.0, gt=0, le=MAX_FACTOR)
    """Divides the logits of teacher and student."""


class ReverseKLConfig(Block):
    name: Literal["reverse_kl"]
    """The student's distribution against the teacher's: the student stays inside the teacher."""
    temperature: float = Field(default=1.0, gt=0, le=MAX_FACTOR)
    """Divides the logits of teacher and student."""


class JensenShannonConfig(Block):
    name: Literal["jensen_shannon"]
    """The divergence of both from their mixture."""
    share: float = Field(default=0.5, gt=0, lt=1)
    """The teacher's share of the mixture; near 0 like forward_kl, near 1 like reverse_kl."""
    temperature: float = Field(default=1.0, gt=0, le=MAX_FACTOR)
    """Divides the logits of teacher and student."""


DivergenceConfig = Annotated[
    ForwardKLConfig | ReverseKLConfig | JensenShannonConfig, Field(discriminator="name")
]


class ContinuationConfig(Block):
    num_items: int = Field(default=3, gt=0, le=MAX_LIST)
    """Items that the student appends to a history."""
    temperature: float = Field(default=1.0, gt=0, le=MAX_FACTOR)
    """Temperature of the student's distribution when these items are sampled."""
    share: float = Field(default=0.5, gt=0, le=1)
    """Share of the loss on these items."""


class DistillationConfig(ObjectiveConfig):
    reads_windows: ClassVar[bool] = True

    name: Literal["distillation"]
    """Predict the teachers' distribution over the whole catalog."""
    loss: DivergenceConfig = ForwardKLConfig()
    """Divergence from the teacher."""
    teachers: list[str] = []
    """Run or model folders; several are averaged by probability. With a cache: the models that it
    must come from."""
    cache: str | None = None
    """Folder that seqrec cache wrote: the teachers' top items, in place of the teachers."""
    use_tail_mass: bool = True
    """Items outside the cache share the remaining probability; false: they have probability 0."""
    sft_share: float = Field(default=0.1, ge=0, lt=1)
    """Share of the loss that is next-item prediction."""
    state_share: float = Field(default=0.0, ge=0, lt=1)
    """Share of the loss that is the unexplained variance of the teachers' hidden states, given the
    student's."""
    on_policy: ContinuationConfig | None = None
    """Also train on histories that the student continues; null: do not."""

    @property
    def continues_histories(self) -> bool:
        return self.on_policy is not None

    @model_validator(mode="after")
    def _check_cache(self) -> "DistillationConfig":
        if self.cache is None:
            if not self.use_tail_mass:
                raise ValueError(
                    "use_tail_mass goes with a cache; live teachers give all probabilities"
                )
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
    """Predict whether a user likes an item, from a history with ratings."""
    liked: float = Field(default=4.0, ge=-MAX_FACTOR, le=MAX_FACTOR)
    """Least rating of a liked item. With data.labels: a label of 0.5 or more is a like."""
    held_out_share: float = Field(default=0.2, gt=0, lt=1)
    """Share of the users, by a hash of their ids, that are held out of training: one half selects
    the epoch, the other half is the test part."""


class SFTConfig(ObjectiveConfig):
    reads_windows: ClassVar[bool] = True
    can_refit: ClassVar[bool] = True
    reads_events: ClassVar[bool] = True

    name: Literal["sft"]
    """Next-item prediction at every position."""
    loss: LossConfig = CrossEntropyConfig()
    """Loss over the catalog."""
    num_targets: int = Field(default=1, gt=0, le=MAX_LIST)
    """Next items that are learned at every position."""
    target_decay: float = Field(default=0.5, gt=0, le=1)
    """Weight of a next item relative to the one before it, if num_targets is above 1."""
    weight: str | None = None
    """Column of the log with the targets' weights; an item of weight 0 is read but not learned.
    null: all targets count the same."""
    events_share: float = Field(default=0.2, ge=0, lt=1)
    """Share of the loss that predicts the learned features of data.events, if it has any."""

    @property
    def smooths_labels(self) -> bool:
        return isinstance(self.loss, CrossEntropyConfig) and self.loss.label_smoothing > 0

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
    def _check_num_targets(self) -> "SFTConfig":
        if self.num_targets > 1 and self.loss.name != "cross_entropy":
            raise ValueError(f"num_targets {self.num_targets} goes with loss cross_entropy")
        return self
