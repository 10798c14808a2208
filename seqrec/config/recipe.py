"""The recipe: four blocks, and what of them goes together."""

from typing import Annotated

from pydantic import Field, model_validator

from seqrec.config.block import Block
from seqrec.config.data import DataConfig
from seqrec.config.model import ModelConfig
from seqrec.config.objective import (
    DistillationConfig,
    PreferenceConfig,
    RewardModelConfig,
    SFTConfig,
)
from seqrec.config.rl import RLConfig
from seqrec.config.trainer import TrainerConfig

OF_NEXT_ITEM = (
    "from_pretrained",
    "causal",
    "cosine_scale",
    "content",
    "transition_prior",
)
"""Keys of the model block that a reward model has no use for."""
OF_EPOCHS = {
    "data": ("windows", "stride", "batch_size"),
    "trainer": (
        "max_epochs",
        "patience",
        "selection_metric",
        "schedule",
        "warmup_steps",
        "ema_decay",
        "epochs_without_dropout",
        "devices",
        "checkpoint_minutes",
    ),
}
"""Keys that reinforcement learning, which has updates and no epochs, has no use for."""


class Recipe(Block):
    """What ``train`` does: four blocks."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    objective: Annotated[
        SFTConfig | PreferenceConfig | DistillationConfig | RLConfig | RewardModelConfig,
        Field(discriminator="name"),
    ]
    """What is learned."""
    trainer: TrainerConfig = TrainerConfig()

    @model_validator(mode="after")
    def _preference_needs_its_settings_and_others_none_of_them(self) -> "Recipe":
        data, metric = self.data, self.trainer.selection_metric
        is_preference = self.objective.reads_pairs
        if not is_preference and data.pairs is not None:
            raise ValueError(
                f"data.pairs goes with objective preference, not {self.objective.name}"
            )
        share = DataConfig.model_fields["held_out_share"].default
        if not is_preference and data.held_out_share != share:
            raise ValueError(
                f"data.held_out_share goes with objective preference, not {self.objective.name}"
            )
        if metric == "pair_accuracy" and not (is_preference and data.held_out_share):
            raise ValueError(
                "trainer.selection_metric pair_accuracy goes with objective preference and a "
                "data.held_out_share above 0"
            )
        has_windows = data.windows != "all" or data.stride is not None
        if has_windows and self.objective.has_epochs and not self.objective.reads_windows:
            raise ValueError(
                "data.windows and data.stride go with objective sft or distillation, not "
                f"{self.objective.name}"
            )
        return self

    @model_validator(mode="after")
    def _reward_model_judges_by_likes_and_starts_anew(self) -> "Recipe":
        is_reward_model = self.objective.predicts_likes
        if (self.trainer.selection_metric == "auc") != is_reward_model:
            raise ValueError(
                f"trainer.selection_metric {self.trainer.selection_metric} does not go with "
                f"objective {self.objective.name}: auc and reward_model go together"
            )
        if not is_reward_model:
            if self.data.labels is not None:
                raise ValueError(
                    f"data.labels goes with objective reward_model, not {self.objective.name}"
                )
            return self
        for key in OF_NEXT_ITEM:
            plain = ModelConfig.model_fields[key].default
            if getattr(self.model, key) != plain:
                raise ValueError(f"model.{key} goes with other objectives, not reward_model")
        return self

    @model_validator(mode="after")
    def _vectors_come_from_what_is_learned(self) -> "Recipe":
        other = "associations" if self.objective.predicts_likes else "ratings"
        if self.model.initial_vectors == other:
            raise ValueError(
                f"model.initial_vectors {other} does not go with {self.objective.name}: "
                "associations goes with next-title models, ratings with reward models"
            )
        return self

    @model_validator(mode="after")
    def _updates_have_no_epochs(self) -> "Recipe":
        if self.objective.has_epochs:
            return self
        for name, keys in OF_EPOCHS.items():
            block = getattr(self, name)
            for key in keys:
                if getattr(block, key) != type(block).model_fields[key].default:
                    raise ValueError(f"{name}.{key} goes with other objectives, not rl")
        for key in ("dropout", "item_dropout"):
            if self.model.from_pretrained is not None and key in self.model.model_fields_set:
                raise ValueError(f"model.{key}: rl learns from slates without any; leave it out")
        return self

    @model_validator(mode="after")
    def _memory_is_learned_with_the_whole_catalog(self) -> "Recipe":
        prior, loss = self.model.transition_prior, self.objective.sampled_loss
        if prior is not None and prior.strength is not None and loss is not None:
            raise ValueError(
                f"model.transition_prior.strength goes with objective.loss cross_entropy, "
                f"not {loss}; null lets validation choose it after training"
            )
        if (
            prior is not None
            and prior.strength is not None
            and self.objective.targets_per_position > 1
        ):
            raise ValueError(
                "model.transition_prior.strength goes with objective.num_targets 1: the prior "
                "holds the others; null lets validation choose it after training"
            )
        return self

    @model_validator(mode="after")
    def _a_prefix_has_one_target(self) -> "Recipe":
        num_targets = self.objective.targets_per_position
        if self.data.windows == "prefixes" and num_targets > 1:
            raise ValueError(
                f"objective.num_targets {num_targets} goes with data.windows all or "
                "last, not prefixes, which end before their one target"
            )
        return self

    @model_validator(mode="after")
    def _nobody_reads_the_target(self) -> "Recipe":
        if not self.model.causal and self.data.windows != "prefixes":
            raise ValueError(
                f"model.causal false goes with data.windows prefixes, not {self.data.windows}: "
                "in other windows titles would read the targets"
            )
        if not self.model.causal:
            if self.objective.continues_histories:
                raise ValueError(
                    "objective.on_policy goes with model.causal true: a model that reads both "
                    "ways would read what stood there before"
                )
        return self

    @model_validator(mode="after")
    def _events_are_learned_by_sft(self) -> "Recipe":
        events, starts = self.data.events, self.model.from_pretrained is not None
        if events is not None and not self.objective.reads_events:
            raise ValueError(f"data.events goes with objective sft, not {self.objective.name}")
        if events is not None and starts:
            raise ValueError(
                "data.events: the grammar is that of model.from_pretrained; leave it out"
            )
        learned = [one.name for one in events.features if one.is_learned] if events else []
        if learned and not self.model.causal:
            raise ValueError(
                f"data.events: feature {learned[0]} cannot be learned with model.causal false, "
                "which reads it"
            )
        prior = self.model.transition_prior
        if prior is not None and prior.strength and events is not None and events.condenses:
            raise ValueError(
                "model.transition_prior.strength: null is chosen after training; sessions and drop "
                "shorten the histories that a memory counts"
            )
        if self.model.event_vectors == "sum" and events is None and not starts:
            raise ValueError("model.event_vectors: sum is of data.events, which says nothing")
        if learned and self.model.event_vectors == "sum":
            raise ValueError(
                f"data.events: feature {learned[0]} cannot be learned with model.event_vectors "
                "sum, whose positions read it"
            )
        if not learned:
            if self.objective.sets_events_share and not starts:
                raise ValueError("objective.events_share: no feature of data.events is learned")
        return self

    @model_validator(mode="after")
    def _times_are_read_by_sft(self) -> "Recipe":
        if self.model.time_bias is not None and not self.objective.reads_events:
            raise ValueError(f"model.time_bias goes with objective sft, not {self.objective.name}")
        return self

    @model_validator(mode="after")
    def _members_learn_with_the_whole_catalog(self) -> "Recipe":
        if self.model.num_members > 1 and self.objective.sampled_loss is not None:
            raise ValueError(
                f"model.num_members {self.model.num_members} goes with objective.loss "
                f"cross_entropy, not {self.objective.sampled_loss}"
            )
        return self

    @model_validator(mode="after")
    def _devices_share_batches(self) -> "Recipe":
        devices, batch_size = self.trainer.devices, self.data.batch_size
        if devices > batch_size:
            raise ValueError(
                f"trainer.devices {devices} share batches of data.batch_size {batch_size} rows; "
                "make these more, or those fewer"
            )
        return self
