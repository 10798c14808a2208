"""Decoding token by token, with each kind of cache."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel


def decode_natively(
    model: Any, tokens: Int[Tensor, "B T"], num_steps: int
) -> Float[Tensor, "B S D"]:
    """Return the states of the last tokens, by the native decoder's cache of blocks' inputs."""
    batch, length = tokens.shape
    allowed = torch.ones(length, length, dtype=torch.bool).tril().expand(batch, -1, -1)
    positions = torch.arange(length).expand(batch, -1)
    cache: list[Any] = []
    start, states = length - num_steps, []
    written = tokens.clone()
    written[:, start:] = tokens[:, :1]  # read by no earlier position
    for place in [start - 1, *range(start, length)]:
        written[:, place] = tokens[:, place]
        here = torch.full((batch, 1), place)
        states.append(model.states_under(written, allowed, positions, here, cache))
    return torch.cat(states[1:], dim=1)


def decode_by_transformers(
    decoder: PreTrainedModel, tokens: Int[Tensor, "B T"], num_steps: int
) -> Float[Tensor, "B S D"]:
    """Return the states of the last tokens, by transformers' cache of keys and values."""
    cache, states = DynamicCache(config=decoder.config), []
    start = tokens.shape[1] - num_steps
    for part in [tokens[:, :start], *tokens[:, start:].split(1, dim=1)]:
        vectors = decoder.get_input_embeddings()(part)
        output = decoder(inputs_embeds=vectors, past_key_values=cache, use_cache=True)
        states.append(output.last_hidden_state)
    return torch.cat(states[1:], dim=1)
