"""One YAML a run, and dotted overrides."""

import copy
import difflib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, get_args

import yaml
from pydantic import Field, ValidationError, model_validator

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
from seqrec.config.search import RECIPE_SPACE, Range, SearchSpace, parse_space
from seqrec.config.trainer import TrainerConfig
from seqrec.errors import SeqRecError

OF_NEXT_ITEM = (
    "from_pretrained",
    "causal",
    "cosine_scale",
    "content",
    "memory",
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
SEED_FIELD = "{seed}"
BESIDE = ("provenance", "search")
"""What a recipe's file may hold beside the blocks: where a run came from, what ``tune`` tries."""


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
        is_preference = isinstance(self.objective, PreferenceConfig)
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
        is_reward_model = isinstance(self.objective, RewardModelConfig)
        has_windows = data.windows != "all" or data.stride is not None
        if has_windows and (is_preference or is_reward_model):
            raise ValueError(
                "data.windows and data.stride go with objective sft or distillation, not "
                f"{self.objective.name}"
            )
        return self

    @model_validator(mode="after")
    def _reward_model_judges_by_likes_and_starts_anew(self) -> "Recipe":
        is_reward_model = isinstance(self.objective, RewardModelConfig)
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
        other = "associations" if isinstance(self.objective, RewardModelConfig) else "ratings"
        if self.model.initial_vectors == other:
            raise ValueError(
                f"model.initial_vectors {other} does not go with {self.objective.name}: "
                "associations goes with next-title models, ratings with reward models"
            )
        return self

    @model_validator(mode="after")
    def _updates_have_no_epochs(self) -> "Recipe":
        if not isinstance(self.objective, RLConfig):
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
        if not isinstance(self.objective, SFTConfig):
            return self
        memory, loss = self.model.memory, self.objective.loss.name
        if memory is not None and memory.strength is not None and loss != "cross_entropy":
            raise ValueError(
                f"model.memory.strength goes with objective.loss cross_entropy, not {loss}; "
                "null lets validation choose it after training"
            )
        if memory is not None and memory.strength is not None and self.objective.num_targets > 1:
            raise ValueError(
                "model.memory.strength goes with objective.num_targets 1: the memory holds the "
                "others; null lets validation choose it after training"
            )
        return self

    @model_validator(mode="after")
    def _a_prefix_has_one_target(self) -> "Recipe":
        if isinstance(self.objective, SFTConfig) and self.data.windows == "prefixes":
            if self.objective.num_targets > 1:
                raise ValueError(
                    f"objective.num_targets {self.objective.num_targets} goes with data.windows "
                    "all or last, not prefixes, which end before their one target"
                )
        return self

    @model_validator(mode="after")
    def _nobody_reads_the_target(self) -> "Recipe":
        if not self.model.causal and self.data.windows != "prefixes":
            raise ValueError(
                f"model.causal false goes with data.windows prefixes, not {self.data.windows}: "
                "in other windows titles would read the targets"
            )
        if isinstance(self.objective, DistillationConfig) and not self.model.causal:
            if self.objective.on_policy is not None:
                raise ValueError(
                    "objective.on_policy goes with model.causal true: a model that reads both "
                    "ways would read what stood there before"
                )
        return self

    @model_validator(mode="after")
    def _events_are_learned_by_sft(self) -> "Recipe":
        events, starts = self.data.events, self.model.from_pretrained is not None
        if events is not None and not isinstance(self.objective, SFTConfig):
            raise ValueError(f"data.events goes with objective sft, not {self.objective.name}")
        if events is not None and starts:
            raise ValueError(
                "data.events: the grammar is that of model.from_pretrained; leave it out"
            )
        learned = [one.name for one in events.behaviours if one.is_learned] if events else []
        if learned and not self.model.causal:
            raise ValueError(
                f"data.events: behaviour {learned[0]} cannot be learned with model.causal false, "
                "which reads it"
            )
        memory = self.model.memory
        if memory is not None and memory.strength and events is not None and events.condenses:
            raise ValueError(
                "model.memory.strength: null is chosen after training; sittings and drop shorten "
                "the histories that a memory counts"
            )
        if self.model.event_vectors == "sum" and events is None and not starts:
            raise ValueError("model.event_vectors: sum is of data.events, which says nothing")
        if learned and self.model.event_vectors == "sum":
            raise ValueError(
                f"data.events: behaviour {learned[0]} cannot be learned with model.event_vectors "
                "sum, whose positions read it"
            )
        if isinstance(self.objective, SFTConfig) and not learned:
            share = SFTConfig.model_fields["events_share"].default
            if self.objective.events_share != share and not starts:
                raise ValueError("objective.events_share: no behaviour of data.events is learned")
        return self

    @model_validator(mode="after")
    def _times_are_read_by_sft(self) -> "Recipe":
        if self.model.time_bias is not None and not isinstance(self.objective, SFTConfig):
            raise ValueError(f"model.time_bias goes with objective sft, not {self.objective.name}")
        return self

    @model_validator(mode="after")
    def _members_learn_with_the_whole_catalog(self) -> "Recipe":
        if not isinstance(self.objective, SFTConfig):
            return self
        if self.model.num_members > 1 and self.objective.loss.name != "cross_entropy":
            raise ValueError(
                f"model.num_members {self.model.num_members} goes with objective.loss "
                f"cross_entropy, not {self.objective.loss.name}"
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


def shipped_recipes() -> dict[str, Path]:
    """The recipes that come with seqrec, by name."""
    folder = Path(str(files("seqrec") / "recipes"))
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))}


def load_recipe(name_or_path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of that name or file, with ``key.path=value`` overrides applied.

    Raises:
        SeqRecError: no such recipe, broken YAML, an unknown key, a value out of range.
    """
    return parse_recipe(_read(name_or_path, overrides), name_or_path)


def load_recipe_of_seed(name_or_path: str | Path, overrides: Sequence[str], seed: int) -> Recipe:
    """``load_recipe`` for one of several seeds, which stands where an override says ``{seed}``."""
    own = [one.replace(SEED_FIELD, str(seed)) for one in overrides]
    return load_recipe(name_or_path, [*own, f"trainer.seed={seed}"])


def load_search(
    name_or_path: str | Path, overrides: Sequence[str] = (), search: str | Path | None = None
) -> SearchSpace:
    """What ``tune`` tries: the ``search`` block of a file, else of the recipe, else the default.

    Raises:
        SeqRecError: a block of another shape, a key that recipes lack, a value out of range.
    """
    settings = _read(name_or_path, overrides)
    found = settings.get("search")
    where = f"recipe {name_or_path}: search"
    if search is not None:
        where = f"--search {search}"
        found = _yaml_of(Path(search), where).get("search")
        if found is None:
            raise SeqRecError(f"{where}: holds no search block")
    space = RECIPE_SPACE if found is None else parse_space(found, where)
    for key, values in space.items():
        for value in values.examples() if isinstance(values, Range) else values:
            _check_value(settings, key, value, where)
    return space


def with_settings(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """The recipe with values for some of its dotted keys.

    Raises:
        SeqRecError: values that do not go together.
    """
    settings = recipe.model_dump(exclude_unset=True)
    for key, value in values.items():
        _set(settings, key, value, key)
    return parse_recipe(settings, "with " + ", ".join(f"{k}={v}" for k, v in values.items()))


def parse_recipe(settings: dict[str, Any], name: str | Path) -> Recipe:
    """The recipe that these blocks say.

    Raises:
        SeqRecError: an unknown key, a value out of range.
    """
    parts = {key: settings[key] for key in settings if key not in BESIDE}
    try:
        return Recipe.model_validate(parts)
    except ValidationError as error:
        raise SeqRecError(f"recipe {name}: {_first_complaint(error)}") from error


def _read(name_or_path: str | Path, overrides: Sequence[str]) -> dict[str, Any]:
    """A recipe's blocks as they are written, with overrides applied."""
    shipped = shipped_recipes()
    path = shipped.get(str(name_or_path), Path(name_or_path))
    if not path.is_file():
        raise SeqRecError(
            f"recipe {str(name_or_path)!r}: neither a file nor one of {', '.join(shipped)}"
        )
    settings = _yaml_of(path, f"recipe {path}")
    for override in overrides:
        _apply(settings, override)
    return settings


def _yaml_of(path: Path, what: str) -> dict[str, Any]:
    """The mapping that a YAML file holds."""
    try:
        settings = yaml.safe_load(path.read_text())
    except OSError as error:
        raise SeqRecError(f"{what}: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SeqRecError(f"{what}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(settings, dict):
        raise SeqRecError(f"{what}: must hold the blocks {', '.join(Recipe.model_fields)}")
    return settings


def _check_value(settings: dict[str, Any], key: str, value: Any, where: str) -> None:
    """Refuse a key that the recipe lacks, and a value that the key cannot have.

    Whether values go together is seen when they are tried.
    """
    tried = copy.deepcopy({name: settings[name] for name in settings if name not in BESIDE})
    _set(tried, key, value, f"{where}: {key}")
    try:
        Recipe.model_validate(tried)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(_path_and_keys_beside(first["loc"])[0])
        is_unknown = first["type"] == "extra_forbidden" and f"{key}.".startswith(f"{path}.")
        if is_unknown or f"{path}.".startswith(f"{key}."):
            raise SeqRecError(f"{where}: {_first_complaint(error)}") from error


def _apply(settings: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise SeqRecError(f"override {override!r}: write it as key.path=value")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SeqRecError(f"override {override!r}: the value is not YAML") from error
    _set(settings, key, value, f"override {override!r}")


def _set(settings: dict[str, Any], key: str, value: Any, where: str) -> None:
    """Set a dotted key."""
    *blocks, last = key.split(".")
    for block in blocks:
        inner = settings.setdefault(block, {})
        if not isinstance(inner, dict):
            raise SeqRecError(f"{where}: {block} is a value, not a block")
        settings = inner
    settings[last] = value


def _first_complaint(error: ValidationError) -> str:
    """The first thing wrong, as ``key: what``; for an unknown key, the one that may be meant."""
    first = error.errors()[0]
    path, known = _path_and_keys_beside(first["loc"])
    key = ".".join(path)
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(path[-1], known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
        return f"{key}: unknown key; {hint}"
    if first["type"] == "missing":
        return f"{key}: missing"
    if first["type"] == "union_tag_not_found":
        return f"{key}.name: missing"
    if first["type"] == "union_tag_invalid":
        context = first["ctx"]
        tags = context["expected_tags"].replace("'", "")
        return f"{key}.name: choose from {tags}, not {context['tag']!r}"
    reason = first["msg"].removeprefix("Value error, ")
    given = "" if isinstance(first["input"], dict) else f", not {first['input']!r}"
    return f"{key}: {reason[0].lower()}{reason[1:]}{given}" if key else reason


def _path_and_keys_beside(location: tuple[str | int, ...]) -> tuple[list[str], list[str]]:
    """A key's path as it is written in a recipe, and the keys known in its block.

    The location of an error also names the member of a union that was chosen.
    """
    block: Any = Recipe
    path = []
    for part in map(str, location):
        members = [member for member in get_args(block) if hasattr(member, "model_fields")]
        if len(members) == 1:
            (block,) = members
            if part.isdigit():
                path.append(part)
                continue
        elif members:
            block = next(m for m in members if part in get_args(m.model_fields["name"].annotation))
            continue
        path.append(part)
        field = getattr(block, "model_fields", {}).get(part)
        if field is None:
            break
        block = field.annotation
    return path, list(getattr(block, "model_fields", {}))
