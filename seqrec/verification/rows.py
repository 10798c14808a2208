"""Histories as rows of a batch: alone, side by side, padded on the left or on the right."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

History = dict[str, np.ndarray]
"""The inputs of one history by name, such as ``input_ids``, an array with a row per position."""


class Rows(NamedTuple):
    """Inputs of a model's batch."""

    inputs: dict[str, Tensor]
    """By name, with a row and a column of the batch first."""
    documents: Int[Tensor, "B T"]
    """Number of the history within its row, from 1; 0 is padding."""


def lay_out(
    histories: Sequence[History],
    rows: Sequence[Sequence[int]],
    fills: Mapping[str, int],
    *,
    width: int,
    side: Literal["left", "right"] = "right",
) -> Rows:
    """Return the histories of every row one after the other, with padding on one side.

    Args:
        histories: inputs by name.
        rows: numbers of the histories that share each row.
        fills: the value of padding positions, by name.
        width: columns of the batch.
        side: of the padding.
    """
    shape = (len(rows), width)
    inputs = {
        name: np.full((*shape, *part.shape[1:]), fills[name], dtype=np.int64)
        for name, part in histories[0].items()
    }
    documents = np.zeros(shape, dtype=np.int64)
    for row, members in enumerate(rows):
        lengths = [len(histories[member]["input_ids"]) for member in members]
        start = 0 if side == "right" else width - sum(lengths)
        for number, (member, length) in enumerate(zip(members, lengths, strict=True)):
            place = slice(start, start + length)
            documents[row, place] = number + 1
            for name, part in histories[member].items():
                inputs[name][row, place] = part
            start += length
    tensors = {name: torch.from_numpy(part) for name, part in inputs.items()}
    return Rows(tensors, torch.from_numpy(documents))


def split_rows(
    arrays: Mapping[str, np.ndarray], documents: Int[np.ndarray, "B T"]
) -> list[dict[str, np.ndarray]]:
    """Return the part of every history, row by row."""
    return [
        {name: array[row][documents[row] == number] for name, array in arrays.items()}
        for row in range(len(documents))
        for number in range(1, int(documents[row].max()) + 1)
    ]


def split_states(
    states: Float[Tensor, "B T D"], documents: Int[Tensor, "B T"]
) -> list[Float[np.ndarray, "T D"]]:
    """Return the states of every history, row by row."""
    parts = split_rows({"states": states.float().cpu().numpy()}, documents.cpu().numpy())
    return [part["states"] for part in parts]


def largest_difference(
    found: Sequence[np.ndarray] | np.ndarray, expected: Sequence[np.ndarray] | np.ndarray
) -> float:
    """Return the largest difference of two lists of arrays, relative to the largest value."""
    pairs = list(zip(found, expected, strict=True))
    scale = max(float(np.abs(right).max()) for _, right in pairs)
    return max(float(np.abs(left - right).max()) for left, right in pairs) / max(scale, 1e-30)
