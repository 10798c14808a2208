"""Rules between settings of different blocks of a recipe, as a table."""

from collections.abc import Callable
from typing import NamedTuple

from seqrec.config.block import Block
from seqrec.config.blocks import Blocks

NEXT_ITEM_KEYS = (
    "from_pretrained",
    "backbone",
    "causal",
    "cosine_scale",
    "content",
    "transition_prior",
)
"""Keys of the model block that have no effect on a reward model."""
EPOCH_KEYS = {
    "data": ("windows", "stride", "batch_size"),
    "trainer": (
        "max_epochs",
        "patience",
        "selection_metric",
        "schedule",
        "warmup_steps",
        "ema_decay",
        "epochs_without_dropout",
        "accumulate_batches",
        "devices",
        "checkpoint_minutes",
    ),
}
"""Keys that have no effect on an objective without epochs."""


class Rule(NamedTuple):
    """A combination of settings that a recipe may not have."""

    is_broken: Callable[[Blocks], bool]
    message: str
    """The cause and the fix; ``{data.pairs}`` stands for that setting's value."""


def find_conflict(blocks: Blocks) -> str | None:
    """The message of the first rule that the blocks break; None if they break none."""
    for rule in RULES:
        if rule.is_broken(blocks):
            feature = next(iter(blocks.learned_features), None)
            return rule.message.format(**blocks._asdict(), learned_feature=feature)
    return None


def is_changed(block: Block, key: str) -> bool:
    """Test whether the key differs from its default."""
    return bool(getattr(block, key) != type(block).model_fields[key].default)


def _only_with_epochs(block: str, key: str) -> Rule:
    def is_broken(blocks: Blocks) -> bool:
        return not blocks.objective.has_epochs and is_changed(getattr(blocks, block), key)

    return Rule(
        is_broken, f"{block}.{key} goes with other objectives, not {{objective.name}}; leave it out"
    )


def _only_with_next_items(key: str) -> Rule:
    def is_broken(blocks: Blocks) -> bool:
        return blocks.objective.predicts_likes and is_changed(blocks.model, key)

    return Rule(
        is_broken, f"model.{key} goes with other objectives, not {{objective.name}}; leave it out"
    )


def _no_dropout_without_epochs(key: str) -> Rule:
    def is_broken(blocks: Blocks) -> bool:
        is_set = blocks.starts_pretrained and key in blocks.model.model_fields_set
        return not blocks.objective.has_epochs and is_set

    return Rule(is_broken, f"model.{key}: {{objective.name}} learns without dropout; leave it out")


PREFERENCE_RULES = (
    Rule(
        lambda at: at.data.pairs is not None and not at.objective.reads_pairs,
        "data.pairs goes with objective preference, not {objective.name}",
    ),
    Rule(
        lambda at: is_changed(at.data, "held_out_share") and not at.objective.reads_pairs,
        "data.held_out_share goes with objective preference, not {objective.name}",
    ),
    Rule(
        lambda at: (
            at.trainer.selection_metric == "pair_accuracy"
            and not (at.objective.reads_pairs and at.data.held_out_share)
        ),
        "trainer.selection_metric pair_accuracy goes with objective preference and a "
        "data.held_out_share above 0",
    ),
    Rule(
        lambda at: (
            (at.data.windows != "all" or at.data.stride is not None)
            and at.objective.has_epochs
            and not at.objective.reads_windows
        ),
        "data.windows and data.stride go with objective sft or distillation, not {objective.name}",
    ),
)

SEARCH_RULES = (
    Rule(
        lambda at: (
            at.trainer.selection_metric.startswith(("search_", "request_", "new_tag_"))
            and not at.objective.reads_requests
        ),
        "trainer.selection_metric {trainer.selection_metric} goes with objective search, not "
        "{objective.name}",
    ),
)

REWARD_MODEL_RULES = (
    Rule(
        lambda at: (at.trainer.selection_metric == "auc") != at.objective.predicts_likes,
        "trainer.selection_metric {trainer.selection_metric} does not go with objective "
        "{objective.name}: auc and reward_model go together",
    ),
    Rule(
        lambda at: at.data.labels is not None and not at.objective.predicts_likes,
        "data.labels goes with objective reward_model, not {objective.name}",
    ),
    *map(_only_with_next_items, NEXT_ITEM_KEYS),
    Rule(
        lambda at: (
            at.model.initial_vectors
            == ("associations" if at.objective.predicts_likes else "ratings")
        ),
        "model.initial_vectors {model.initial_vectors} does not go with {objective.name}: "
        "associations goes with next-item models, ratings with reward models",
    ),
)

UPDATE_RULES = (
    *(_only_with_epochs(block, key) for block, keys in EPOCH_KEYS.items() for key in keys),
    *map(_no_dropout_without_epochs, ("dropout", "item_dropout")),
)

TARGET_RULES = (
    Rule(
        lambda at: at.has_fixed_prior and at.objective.sampled_loss is not None,
        "model.transition_prior.strength goes with objective.loss cross_entropy, not "
        "{objective.sampled_loss}; null lets validation choose it after training",
    ),
    Rule(
        lambda at: at.model.transition_prior is not None and at.objective.smooths_labels,
        "objective.loss.label_smoothing goes without model.transition_prior; set one of them to "
        "its default",
    ),
    Rule(
        lambda at: at.has_fixed_prior and at.objective.targets_per_position > 1,
        "model.transition_prior.strength goes with objective.num_targets 1, because the prior "
        "predicts the next item only; null lets validation choose it after training",
    ),
    Rule(
        lambda at: at.data.windows == "prefixes" and at.objective.targets_per_position > 1,
        "objective.num_targets {objective.targets_per_position} goes with data.windows all or "
        "last, not prefixes, which have one target each",
    ),
    Rule(
        lambda at: not at.model.causal and at.data.windows != "prefixes",
        "model.causal false goes with data.windows prefixes, not {data.windows}: in other windows "
        "the model would read the targets",
    ),
    Rule(
        lambda at: not at.model.causal and at.objective.continues_histories,
        "objective.on_policy goes with model.causal true: a bidirectional model would read the "
        "items that follow in the log",
    ),
)

EVENT_RULES = (
    Rule(
        lambda at: at.data.events is not None and not at.objective.reads_events,
        "data.events goes with objective sft, not {objective.name}",
    ),
    Rule(
        lambda at: at.data.events is not None and at.starts_pretrained,
        "data.events: the event features come from model.from_pretrained; leave it out",
    ),
    Rule(
        lambda at: bool(at.learned_features) and not at.model.causal,
        "data.events: feature {learned_feature} cannot be learned with model.causal false, which "
        "reads it; set is_learned: false",
    ),
    Rule(
        lambda at: (
            at.has_fixed_prior and at.data.events is not None and at.data.events.shortens_histories
        ),
        "model.transition_prior.strength: sessions and drop shorten the histories that the prior "
        "counts; null lets validation choose it after training",
    ),
    Rule(
        lambda at: (
            at.model.event_vectors == "sum" and at.data.events is None and not at.starts_pretrained
        ),
        "model.event_vectors: sum needs event features; set data.events",
    ),
    Rule(
        lambda at: bool(at.learned_features) and at.model.event_vectors == "sum",
        "data.events: feature {learned_feature} cannot be learned with model.event_vectors sum, "
        "whose positions read it; set is_learned: false",
    ),
    Rule(
        lambda at: (
            not at.learned_features and at.objective.sets_events_share and not at.starts_pretrained
        ),
        "objective.events_share: no feature of data.events is learned; set is_learned: true for "
        "one, or leave it out",
    ),
    Rule(
        lambda at: bool(at.learned_features) and at.model.head == "projected",
        "data.events: feature {learned_feature} cannot be learned with model.head projected, whose "
        "states are narrower than tokens; set is_learned: false",
    ),
    Rule(
        lambda at: at.model.head == "projected" and at.objective.predicts_likes,
        "model.head projected goes with next-item models, not {objective.name}",
    ),
    Rule(
        lambda at: at.model.time_bias is not None and not at.objective.reads_events,
        "model.time_bias goes with objective sft, not {objective.name}",
    ),
)

REFIT_RULES = (
    Rule(
        lambda at: at.trainer.refit is not None and not at.objective.can_refit,
        "trainer.refit goes with objective sft, not {objective.name}; leave it out",
    ),
    Rule(
        lambda at: at.trainer.refit is not None and at.model.content is not None,
        "trainer.refit goes with models without model.content, whose cold-start items are scaled "
        "on validation; leave one of them out",
    ),
    Rule(
        lambda at: at.trainer.refit is not None and at.trainer.devices > 1,
        "trainer.refit goes with trainer.devices 1, not {trainer.devices}",
    ),
)

REPLAY_RULES = (
    Rule(
        lambda at: at.data.replay is not None and not at.starts_pretrained,
        "data.replay: a new model has seen no old days; name model.from_pretrained, or leave it "
        "out",
    ),
    Rule(
        lambda at: at.data.replay is not None and not at.objective.reads_windows,
        "data.replay goes with objective sft or distillation, not {objective.name}",
    ),
)

SIZE_RULES = (
    Rule(
        lambda at: at.model.num_members > 1 and at.objective.sampled_loss is not None,
        "model.num_members {model.num_members} goes with objective.loss cross_entropy, not "
        "{objective.sampled_loss}",
    ),
    Rule(
        lambda at: at.trainer.devices > at.data.batch_size,
        "trainer.devices {trainer.devices} share batches of data.batch_size {data.batch_size} "
        "rows; use more rows or fewer devices",
    ),
)

RULES = (
    *PREFERENCE_RULES,
    *SEARCH_RULES,
    *REWARD_MODEL_RULES,
    *UPDATE_RULES,
    *TARGET_RULES,
    *EVENT_RULES,
    *REFIT_RULES,
    *REPLAY_RULES,
    *SIZE_RULES,
)
"""All rules; a recipe that breaks several is refused by the first."""
