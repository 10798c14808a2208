"""Low-rank adapters of a language model (LoRA), by ``peft``: added, saved, loaded and merged."""

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from seqrec.errors import SeqRecError, first_line
from seqrec.files import read_json_object
from seqrec.models.weights import PICKLED

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
PLACEHOLDER = "README.md"
"""A form of a model card, which ``peft`` writes unfilled."""
BASE_KEY = "base_fingerprint"
"""Key of the metadata of an adapter's weights: the fingerprint of the model it was trained on."""
CATALOG_KEY = "catalog_fingerprint"
"""Key of the catalog whose items an adapter has rows for."""
SAMPLED_VALUES = 1024
"""Values of each tensor that enter a fingerprint."""


def add_lora(
    model: PreTrainedModel,
    *,
    rank: int,
    alpha: float,
    dropout: float = 0.0,
    target_modules: str | Sequence[str] = "all-linear",
    trainable_rows: Sequence[int] = (),
) -> Any:
    """Freeze a model and add trainable low-rank updates to its linear layers.

    The output of a layer with the weight ``W`` becomes that of ``W + alpha / rank * B @ A``. ``B``
    starts at 0, so that the model computes what it did before. Updates are float32 whatever the
    precision of the weights.

    Args:
        model: is changed.
        rank: rows of ``A``.
        alpha: scale of the updates.
        dropout: dropout rate of the inputs of ``A``.
        target_modules: names of layers, or ``all-linear`` for all but the output head.
        trainable_rows: rows of the vocabulary that are trained whole, such as new tokens; all other
            rows are frozen. An output head that is not tied trains the same rows.

    Returns:
        The model as a ``peft.PeftModel``.

    Raises:
        SeqRecError: peft is not installed, or the model has no such layers.

    Source: Hu et al. 2022, arXiv:2106.09685.
    """
    peft = _import_peft()
    has_head = model.get_output_embeddings() is not None
    config = peft.LoraConfig(
        task_type="CAUSAL_LM" if has_head else "FEATURE_EXTRACTION",
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=target_modules if isinstance(target_modules, str) else list(target_modules),
        trainable_token_indices=_rows_by_table(model, trainable_rows),
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft asks by an older name
            return peft.get_peft_model(model, config)
    except ValueError as error:
        raise SeqRecError(f"tuning.target_modules: {first_line(error)}") from error


def save_adapter(model: Any, folder: Path, facts: Mapping[str, str] | None = None) -> None:
    """Write the adapter of a model alone, in the format of ``peft``.

    The metadata of its weights hold the fingerprint of the model below it, without the rows that
    the adapter replaces.

    Args:
        model: of ``add_lora``.
        folder: is made if it is missing.
        facts: further metadata, which ``read_facts`` returns.
    """
    model.save_pretrained(folder, save_embedding_layers=False)
    (folder / PLACEHOLDER).unlink(missing_ok=True)
    file = folder / ADAPTER_WEIGHTS
    aside = file.with_name(f"{file.name}.new")
    rows = model.active_peft_config.trainable_token_indices
    metadata = {"format": "pt", BASE_KEY: weights_fingerprint(model, _first_rows(rows))}
    save_file(load_file(file), aside, metadata={**metadata, **(facts or {})})
    aside.replace(file)


def read_facts(folder: Path) -> dict[str, str]:
    """Return the metadata of an adapter's weights.

    Raises:
        SeqRecError: they are missing or broken.
    """
    file = folder / ADAPTER_WEIGHTS
    if not file.is_file():
        is_pickled = any(path for pattern in PICKLED for path in folder.glob(pattern))
        reason = "its weights are pickled; save them as safetensors" if is_pickled else "no weights"
        raise SeqRecError(f"{folder}: not an adapter to load: {reason}")
    try:
        with safe_open(file, framework="pt") as opened:
            return dict(opened.metadata() or {})
    except Exception as error:  # of safetensors, by the place of the damage
        raise SeqRecError(f"{file}: broken or cut short; copy it again") from error


def reset_adapter(model: Any) -> None:
    """Return an adapter to its start: updates of 0, and rows as they were."""
    for module in model.modules():
        for update in getattr(module, "lora_B", {}).values():
            nn.init.zeros_(update.weight)
        for name, rows in getattr(module, "trainable_tokens_delta", {}).items():
            rows.data.copy_(module.trainable_tokens_original[name])


def is_adapter(folder: Path) -> bool:
    """Return True for a folder that holds an adapter."""
    return (folder / ADAPTER_CONFIG).is_file()


def load_adapter(base: PreTrainedModel, folder: Path, *, is_trainable: bool = False) -> Any:
    """Put a saved adapter on its base.

    Args:
        base: the model that the adapter was trained on; is changed.
        folder: the adapter, of ``save_adapter`` or of another tool.
        is_trainable: whether the adapter can be trained further.

    Returns:
        The model as a ``peft.PeftModel``.

    Raises:
        SeqRecError: peft is not installed; no adapter, one that is not LoRA, pickled weights, or
            an adapter of another base.
    """
    peft, file = _import_peft(), folder / ADAPTER_WEIGHTS
    settings = read_json_object(folder / ADAPTER_CONFIG, "name a folder with an adapter")
    if settings.get("peft_type") != "LORA" or settings.get("megatron_config") is not None:
        raise SeqRecError(f"{folder}: holds no plain LoRA adapter; merge it with the tool it is of")
    other = SeqRecError(f"{folder}: an adapter of another base; load the model it was trained on")
    fingerprint = read_facts(folder).get(BASE_KEY)
    try:
        kept = _first_rows(settings.get("trainable_token_indices"))
    except (AttributeError, TypeError, ValueError) as error:
        raise SeqRecError(f"{folder / ADAPTER_CONFIG}: no settings of an adapter") from error
    if fingerprint is not None and fingerprint != weights_fingerprint(base, kept):
        raise other
    try:
        model = peft.PeftModel.from_pretrained(base, folder, is_trainable=is_trainable)
    except (RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise other from error
    names = {name for name in load_file(file)}
    if names != set(peft.get_peft_model_state_dict(model, save_embedding_layers=False)):
        raise other
    return model


def merge_adapter(model: Any) -> PreTrainedModel:
    """Return the base with the adapter added to its weights, as a plain model."""
    try:
        return model.merge_and_unload(safe_merge=True)
    except NotImplementedError as error:  # some variants of LoRA act on a part of a text
        raise SeqRecError(f"an adapter that cannot be merged: {error}") from error


@torch.no_grad()
def weights_fingerprint(model: nn.Module, num_rows: Mapping[str, int] | None = None) -> str:
    """Return the sha256 of names, shapes and evenly spaced values of a model's weights.

    Values are rounded to bfloat16 first: a model has one fingerprint in all precisions. Adapters
    do not count.

    Args:
        model: with or without an adapter.
        num_rows: of tables by name, the first rows that count; an adapter replaces later ones.
    """
    whole = hashlib.sha256()
    for name, weight in sorted(model.named_parameters(), key=lambda pair: _plain(pair[0])):
        if "lora_" in name or "trainable_tokens" in name:
            continue
        table = _plain(name).removesuffix(".weight").rpartition(".")[2]
        counted = weight.detach()[: (num_rows or {}).get(table)]
        step = max(counted.numel() // SAMPLED_VALUES, 1)
        values = counted.reshape(-1)[::step].to(torch.bfloat16).cpu()
        whole.update(f"{_plain(name)} {tuple(counted.shape)}".encode())
        whole.update(values.contiguous().view(torch.int16).numpy().tobytes())
    return whole.hexdigest()


def _first_rows(replaced: Mapping[str, Sequence[int]] | None) -> dict[str, int]:
    """Return the number of rows of each table before those that an adapter replaces."""
    return {table: min(rows) for table, rows in (replaced or {}).items()}


def _plain(name: str) -> str:
    """Return the name that a parameter has without adapters."""
    for part in ("base_layer.", "token_adapter."):
        name = name.replace(part, "")
    return name.removeprefix("base_model.model.")


def _rows_by_table(model: PreTrainedModel, rows: Sequence[int]) -> dict[str, list[int]] | None:
    """Return the trainable rows of the input table, and of an output head of its own."""
    if not rows:
        return None
    tables: list[Any] = [model.get_input_embeddings()]
    head = model.get_output_embeddings()
    if head is not None and head.weight is not tables[0].weight:
        tables.append(head)
    names = {id(module): name for name, module in model.named_modules()}
    return {names[id(table)].rpartition(".")[2]: list(rows) for table in tables}


def _import_peft() -> ModuleType:
    try:
        import peft
    except ImportError as error:
        raise SeqRecError(
            "model.tuning: needs the package peft; install it with pip install 'seqrec[language]'"
        ) from error
    return peft
