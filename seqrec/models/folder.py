"""Loading of model folders, with one-line errors for every mismatch."""

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel

from seqrec.errors import SeqRecError, quote, refuse_unreadable
from seqrec.files import read_json_object
from seqrec.models.configuration import SeqRecConfig, SeqRecRewardConfig
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.models.reward import SeqRecForReward
from seqrec.models.two_heads import (
    HEAD_FILE,
    has_two_heads,
    name_weights,
    read_fields,
    read_generation_settings,
    read_head_config,
)
from seqrec.models.unchanged import read_unchanged
from seqrec.models.weights import COPY, read_weights, weight_files
from seqrec.models.weights_check import (
    check_fields,
    check_item_tokens,
    check_shapes,
    check_sizes,
)
from seqrec.tokens.events.coder import EventCoder
from seqrec.tokens.events.grammar import Grammar
from seqrec.tokens.tokenizer import refuse_own_code

MODEL_TYPES: dict[type[PreTrainedModel], str] = {
    SeqRecForNextItem: SeqRecConfig.model_type,
    SeqRecForReward: SeqRecRewardConfig.model_type,
}

logger = logging.getLogger(__name__)

M = TypeVar("M", SeqRecForNextItem, SeqRecForReward)


def load_model(folder: Path) -> SeqRecForNextItem:
    """Return the model of a folder, in evaluation mode; nothing in the folder is executed.

    A folder that another process replaces meanwhile is read whole, the old one or the new one.

    Raises:
        SeqRecError: no such folder, a file that is missing or broken, or weights whose names or
            shapes differ from ``config.json``.
    """
    return _load(folder, SeqRecForNextItem, "name the model/ folder of a run")


def load_reward_model(folder: Path) -> SeqRecForReward:
    """Return the reward model of a folder; see ``load_model``."""
    return _load(folder, SeqRecForReward, "name a run of seqrec train reward-model")


def _load(folder: Path, kind: type[M], fix: str) -> M:
    return read_unchanged(folder, partial(_read, folder, kind, fix))


def _read(folder: Path, kind: type[M], fix: str) -> M:
    config_file = folder / "config.json"
    if not config_file.is_file():
        raise SeqRecError(f"{folder}: not a model folder, {config_file.name} is missing")
    weight_files(folder)
    if is_unfinished(folder):
        logger.warning("%s: is not finished; its best epoch so far is used", folder.parent)
    fields = read_json_object(config_file, COPY)
    refuse_own_code(fields, config_file)
    is_both = kind is SeqRecForNextItem and has_two_heads(folder)
    found, expected = fields.get("model_type"), MODEL_TYPES[kind]
    if found != expected and not is_both:
        raise SeqRecError(f"{config_file}: model_type is {quote(found)}, not {expected!r}; {fix}")
    weights = read_weights(folder)
    check_sizes(fields, len(weights), config_file)
    with refuse_unreadable(f"{config_file}: as a model", COPY):
        config: Any = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        if is_both:
            config = read_head_config(folder, config)
            check_sizes(read_fields(folder), len(weights), folder / HEAD_FILE)
            weights = name_weights(folder, config, weights)
        use_float32(config)
        check_fields(config, str(config_file))
        check_item_tokens(config, config_file)
        with torch.device("meta"):  # shapes alone, before memory is taken
            check_shapes(kind(config), weights, folder)
        with torch.random.fork_rng(devices=[]):  # the random weights are replaced below
            model = kind(config)
        model.load_state_dict(weights)
        if is_both and isinstance(model, SeqRecForNextItem):
            model.word_settings = read_generation_settings(folder)
    return model.eval()


def use_float32(config: PreTrainedConfig) -> None:
    """Set a configuration and those within it to float32 weights, whatever was saved."""
    if config.dtype is not None:
        config.dtype = torch.float32
    for name in config.sub_configs:
        part = getattr(config, name)
        if isinstance(part, PreTrainedConfig):
            use_float32(part)


ITEMS_FILE = "items.parquet"


def model_folder(path: str | Path, key: str | None = None) -> Path:
    """Return the model folder of a path: the path itself, or the ``model`` folder of a run.

    Args:
        path: a model folder or run folder.
        key: the setting that holds the path, for the error.

    Raises:
        SeqRecError: no such folder, or a folder with runs of several seeds.
    """
    folder = Path(path).resolve()
    if not (folder / "config.json").exists() and (folder / "model").is_dir():
        folder = folder / "model"
    named = f"{path}" if key is None else f"{key}={path}"
    if not folder.is_dir():
        partial_run = folder.with_name(f"{folder.name}.partial")
        if partial_run.is_dir():
            raise SeqRecError(f"{named}: is not finished; name {path}.partial for its best epoch")
        raise SeqRecError(f"{named}: no such model folder; name a run or its model/ folder")
    if (folder / "checkpoints").is_dir():
        raise SeqRecError(f"{named}: a run without a model: no epoch has been validated yet")
    if any(folder.glob("seed-*/model")):
        raise SeqRecError(f"{named}: holds runs of several seeds; name one of them")
    return folder


def is_unfinished(folder: Path) -> bool:
    """Return True for the model folder of a run that still trains, or was interrupted."""
    run = folder.parent
    return (run / "checkpoints").is_dir() and not (run / "metrics.json").exists()


def model_coder(config: SeqRecConfig, items: Any, key: str) -> EventCoder | None:
    """Return the coder of a model's grammar and times; None if the model reads items only.

    Args:
        config: the model's configuration.
        items: table of its items, in catalog order.
        key: source of the items, for the error.

    Raises:
        SeqRecError: the items lack a column.
    """
    if config.events is None and config.time_bias is None:
        return None
    grammar = Grammar(()) if config.events is None else Grammar.of(config.events)
    return EventCoder.of(replace(grammar, times=config.time_bias), items, key)
