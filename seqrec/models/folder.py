"""Loading a model folder's weights with every mismatch told in one line."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import AutoConfig, PreTrainedModel

from seqrec.errors import SeqRecError
from seqrec.models.configuration import SeqRecConfig, SeqRecRewardConfig
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.models.reward import SeqRecForReward
from seqrec.tokens.events.coder import EventCoder
from seqrec.tokens.events.grammar import Grammar

WEIGHTS_FILE = "model.safetensors"
MODEL_TYPES: dict[type[PreTrainedModel], str] = {
    SeqRecForNextItem: SeqRecConfig.model_type,
    SeqRecForReward: SeqRecRewardConfig.model_type,
}

M = TypeVar("M", SeqRecForNextItem, SeqRecForReward)


def load_model(folder: Path) -> SeqRecForNextItem:
    """The model of a folder, in evaluation mode; nothing in the folder is executed.

    Raises:
        SeqRecError: no such folder, a file that is missing or broken, or weights whose names or
            shapes are not those of ``config.json``.
    """
    return _load(folder, SeqRecForNextItem, "name the model/ folder of a run")


def load_reward_model(folder: Path) -> SeqRecForReward:
    """``load_model`` of a reward model."""
    return _load(folder, SeqRecForReward, "name a run of seqrec train reward-model")


def _load(folder: Path, kind: type[M], mend: str) -> M:
    config_file, weights_file = folder / "config.json", folder / WEIGHTS_FILE
    for file in (config_file, weights_file):
        if not file.is_file():
            raise SeqRecError(f"{folder}: not a model folder, {file.name} is missing")
    try:
        fields = json.loads(config_file.read_text())
        wanted = MODEL_TYPES[kind]
        if fields.get("model_type") != wanted:
            raise SeqRecError(
                f"{config_file}: model_type is {fields.get('model_type')!r}, not {wanted!r}; {mend}"
            )
        config = AutoConfig.from_pretrained(folder)
        with torch.random.fork_rng(devices=[]):  # what is drawn here is replaced below
            model = kind(config)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise SeqRecError(f"{config_file}: cannot be read as a model: {reason}") from error
    try:
        weights = load_file(weights_file)
    except SafetensorError as error:
        raise SeqRecError(f"{weights_file}: broken or cut short; copy it again") from error
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise SeqRecError(
                f"{weights_file}: {name} has shape {found.get(name, 'none')}, but config.json "
                f"asks for {expected.get(name, 'none')}; the two come from different models"
            )
    model.load_state_dict(weights)
    return model.eval()


def folder_fingerprint(folder: Path) -> str:
    """The sha256 of what a model folder computes: its configuration and weights."""
    found = hashlib.sha256()
    for name in ("config.json", WEIGHTS_FILE):
        try:
            with (folder / name).open("rb") as file:
                found.update(hashlib.file_digest(file, "sha256").digest())
        except FileNotFoundError as error:
            raise SeqRecError(f"{folder}: not a model folder, {name} is missing") from error
    return found.hexdigest()


ITEMS_FILE = "items.parquet"


def model_folder(path: str | Path, key: str | None = None) -> Path:
    """The model folder that is meant: itself, or that of a run folder.

    Args:
        path: either.
        key: the setting that names it, for the error.

    Raises:
        SeqRecError: there is none.
    """
    found = Path(path).resolve()
    if not (found / "config.json").exists() and (found / "model").is_dir():
        found = found / "model"
    named = f"{path}" if key is None else f"{key}={path}"
    if not found.is_dir():
        raise SeqRecError(f"{named}: no such model folder; name a run or its model/ folder")
    if any(found.glob("seed-*/model")):
        raise SeqRecError(f"{named}: holds runs of several seeds; name one of them")
    return found


def model_coder(config: SeqRecConfig, items: Any, key: str) -> EventCoder | None:
    """The coder of a model's grammar and times; None if it reads titles alone.

    Args:
        config: of the model.
        items: its items, a row each, in catalog order.
        key: who asks, for the error.

    Raises:
        SeqRecError: a column that the items lack.
    """
    if config.events is None and config.time_bias is None:
        return None
    grammar = Grammar(()) if config.events is None else Grammar.of(config.events)
    return EventCoder.of(replace(grammar, times=config.time_bias), items, key)


def num_learned_items(folder: Path) -> int:
    """``SeqRecForNextItem.num_learned`` of a model folder.

    Raises:
        SeqRecError: no such folder, or a file that is missing or broken.
    """
    return load_model(folder).num_learned
