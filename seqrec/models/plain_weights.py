"""Weights of a decoder with adapters, under the names and with the values of the plain decoder."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


@torch.no_grad()
def plain_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights with low-rank updates added and trained rows put in place, in float32.

    Equal to the weights after peft's ``merge_and_unload``, without changing the model. Updates of
    weights that are held in less precision lose nothing.

    Args:
        model: whose adapters the weights are of; its values are not read.
        weights: of the whole model, by name.
    """
    plain = {name: _in_float32(weight) for name, weight in weights.items()}
    modules: list[tuple[str, Any]] = list(model.named_modules())
    for name, module in modules:
        if hasattr(module, "lora_A"):
            _merge_update(plain, f"{name}.", module)
        elif hasattr(module, "token_adapter"):
            _merge_rows(plain, f"{name}.", module)
    return plain


def _in_float32(weight: Tensor) -> Tensor:
    """Return a weight in float32; more precise ones, and whole numbers, as they are."""
    is_real = weight.is_floating_point()
    return weight.to(torch.promote_types(weight.dtype, torch.float32)) if is_real else weight


def _merge_update(weights: dict[str, Tensor], name: str, layer: Any) -> None:
    """Add the updates of a linear layer to its weight."""
    for key in [key for key in weights if key.startswith(f"{name}base_layer.")]:
        weights[name + key.removeprefix(f"{name}base_layer.")] = weights.pop(key)
    whole = weights[f"{name}weight"]
    for adapter, scaling in layer.scaling.items():
        down = weights[f"{name}lora_A.{adapter}.weight"]
        update = scaling * (weights[f"{name}lora_B.{adapter}.weight"] @ down)
        whole = whole + (update.T if layer.fan_in_fan_out else update)
    weights[f"{name}weight"] = whole
    for key in [key for key in weights if key.startswith(f"{name}lora_")]:
        del weights[key]


def _merge_rows(weights: dict[str, Tensor], name: str, wrapper: Any) -> None:
    """Put the trained rows of a table into it."""
    inner = f"{name}token_adapter."
    whole = weights.pop(f"{inner}base_layer.weight").clone()
    for adapter, tokens in wrapper.token_adapter.token_indices.items():
        rows = weights.pop(f"{inner}trainable_tokens_delta.{adapter}")
        whole[torch.tensor(tokens, device=whole.device)] = rows
    weights[f"{name}weight"] = whole
